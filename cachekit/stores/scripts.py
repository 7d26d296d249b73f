"""What is asked of a server: exchanges, the Lua scripts, and how tags stand in their arguments."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import cache, lru_cache
from hashlib import sha1
from pathlib import Path
from typing import Any, NamedTuple

from cachekit.core import dependencies, tags
from cachekit.stores.wire import framed

MOVING = ("invalidate", "intend", "withdraw", "attach", "tell")
"""The scripts that move points, or tell what was."""


class Exchange(NamedTuple):
    """Packed commands to send, and how many replies to read; `timeout` where they block."""

    payload: bytes
    replies: int
    timeout: float | None = None
    farewell: Callable[[], bytes] | None = None
    """Makes what is sent after it where whoever awaits the replies goes before they come."""


Talk = Generator[Exchange, list[Any], Any]


class Ask(NamedTuple):
    """The commands that fetch the points of some tags.

    The root says which buckets exist: those that did not when last looked are asked for only once they do.
    """

    payload: bytes
    replies: int
    layout: dependencies.Layout
    known: frozenset[bytes]
    """The buckets that are asked for."""

    def born(self, replies: Sequence[Any]) -> frozenset[bytes]:
        """Return the buckets that exist, or existed until they were evicted."""
        places = self.layout.places
        births = replies[0][2 : 2 + len(places)]
        return frozenset(place for (place, _), birth in zip(places, births, strict=True) if birth is not None)


class Script(NamedTuple):
    """A Lua script and the name under which a server keeps it."""

    source: str
    sha: str


@cache
def script(name: str) -> Script:
    """Return a script of the folder `lua/`, the ledger's clock in front of it."""
    folder = Path(__file__).parent / "lua"
    before = ["ledger"] if name in ("begin", "mend") else ["ledger", "points"] if name in MOVING else []
    source = "\n".join((folder / f"{part}.lua").read_text() for part in [*before, name])
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


@lru_cache(maxsize=4096)
def placed(text: str) -> bytes:
    """Return where the point of a tag stands, packed: the bucket (nothing for the root), and the field."""
    tag = tags.parse(text)
    return framed((tags.place_of(tag.family, tag.digest) if tag.digest else b"", tag.digest or tag.text))


@lru_cache(maxsize=256)
def called(sha: str, keys: tuple[str, ...]) -> bytes:
    """Return how a call of a script begins, packed."""
    return framed(("EVALSHA", sha, len(keys), *keys))


def told_as(texts: Sequence[str]) -> str:
    """Return tags as the stream of events tells them."""
    return " ".join(texts[:100])
