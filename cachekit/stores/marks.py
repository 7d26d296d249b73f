"""What a cache server remembers of how far a database's outbox was relayed to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cachekit.stores.turns import server_of

if TYPE_CHECKING:
    from cachekit.stores.base import Store

LUA = Path(__file__).parent / "lua"
ADVANCE = (LUA / "advance.lua").read_text()
HELD = (LUA / "ledger.lua").read_text() + (LUA / "held.lua").read_text()
ATTEST = (LUA / "ledger.lua").read_text() + (LUA / "attest.lua").read_text()


class Mark(NamedTuple):
    """Which database it is, the last round that was told, and the last one that is known to be committed there."""

    database: str
    told: int
    done: int


class Memory(NamedTuple):
    """What a server knows: the mark of a database, and the server that its ledger was written on, if not itself."""

    mark: Mark | None
    former: bytes = b""


def held_by(store: Store, using: str) -> Mark | None:
    """Return the mark of a database on a server. Raises StoreUnavailable."""
    return memory_of(store, using).mark


def memory_of(store: Store, using: str) -> Memory:
    """Return what a server knows of a database's relaying. Raises StoreUnavailable."""
    with store.guard():
        found = _server(store).eval(HELD, 2, store.slot_key("root"), _key(store, using))
    database, told, done, written, mine = found
    mark = None if told is None else Mark((database or b"").decode(), int(told), int(done or 0))
    return Memory(mark, written if written and written != mine else b"")


def advance(store: Store, using: str, database: str, told: int, after: int | None) -> bool:
    """Mark a round as told; False, and nothing done, where the mark of the round before is not there.

    Raises StoreUnavailable.
    """
    with store.guard():
        arguments = (database, told, "" if after is None else after)
        return bool(_server(store).eval(ADVANCE, 1, _key(store, using), *arguments))


def confirm(store: Store, using: str, done: int) -> None:
    """Note that the database has kept this round. Raises StoreUnavailable."""
    with store.guard():
        _server(store).hset(_key(store, using), "done", done)


def reset(store: Store, using: str, mark: Mark) -> None:
    """Write a mark whatever stands there. Raises StoreUnavailable."""
    with store.guard():
        _server(store).hset(_key(store, using), mapping=mark._asdict())


def attest(store: Store, told: Mapping[str, int], seconds: float) -> bool:
    """Attest for some seconds that a server was told of every write; False where it lacks a round of a database's.

    `told` says which round of each database it must know. Raises StoreUnavailable.
    """
    keys = [store.slot_key("root"), store.slot_key("attest"), *(_key(store, using) for using in told)]
    milliseconds = int(seconds * 1000)
    if milliseconds <= 0:
        return False
    with store.guard():
        return bool(_server(store).eval(ATTEST, len(keys), *keys, milliseconds, *told.values()))


def is_attested(store: Store) -> bool:
    """Tell whether a relay attests a store now; memory needs none. Raises StoreUnavailable."""
    server = server_of(store)
    if server is None:
        return True
    with store.guard():
        return bool(server.exists(store.slot_key("attest")))


def _key(store: Store, using: str) -> str:
    return store.slot_key(f"relay:{using}")


def _server(store: Store) -> Any:
    return server_of(store)
