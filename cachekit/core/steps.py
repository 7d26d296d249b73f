"""What a plan may ask of a store: each step is a question, its answer stands beside it."""

from __future__ import annotations

from typing import NamedTuple


class Load(NamedTuple):
    """Ask for an entry and the newest point among its tags; answered with `Found`."""

    key: str


class Begin(NamedTuple):
    """Take a read point, and the lease on a key where `lease` (seconds) is not 0; answered with `Begun`."""

    key: str
    lease: float = 0


class Begun(NamedTuple):
    """A read point; `token` where the lease was given, `holder` where another has it."""

    epoch: bytes
    read_point: int
    token: str = ""
    holder: str = ""


class Save(NamedTuple):
    """Store an envelope and ask whether it was born stale; answered with `Saved`."""

    key: str
    data: bytes
    ttl: int
    """Milliseconds; 0 keeps it until it is evicted."""
    tags: bytes
    token: str = ""
    waits: bool = True
    """Whether to wait for the answer; where a store need not, it answers None."""


class Saved(NamedTuple):
    """The epoch and the newest point among the tags, as they were right after the entry was stored."""

    epoch: bytes
    newest: int


class LoadMany(NamedTuple):
    """Ask for several entries at once; answered with a `Found` for each, in their order."""

    keys: tuple[str, ...]


class SaveMany(NamedTuple):
    """Store several envelopes at once, for readers to judge; answered with nothing."""

    saves: tuple[Save, ...]


class Renew(NamedTuple):
    """Keep a lease for some more seconds; answered with whether it is still held."""

    key: str
    token: str
    lease: float


class Release(NamedTuple):
    """Give a lease back and wake those who wait for it."""

    key: str
    token: str


class Wait(NamedTuple):
    """Wait until the holder of a lease gives it back, or for so many seconds."""

    holder: str
    seconds: float


class Invalidate(NamedTuple):
    """Give tags a new invalidation point, and end a transaction's own intents; answered with the point."""

    tags: tuple[str, ...]
    why: str = ""
    by: str = ""
    transaction: str = ""
    settles: str = ""
    """The database's name of the transaction, noted for the relay, which need not tell it again."""


class Intend(NamedTuple):
    """Put the points of tags a lease (seconds) into the future: a commit is about to come."""

    tags: tuple[str, ...]
    transaction: str
    lease: float = 10


class Withdraw(NamedTuple):
    """Take a transaction's intents back: its commit was refused."""

    tags: tuple[str, ...]
    transaction: str


Step = Load | LoadMany | Begin | Save | SaveMany | Renew | Release | Wait | Invalidate | Intend | Withdraw
