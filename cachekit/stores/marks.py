"""What a cache server remembers of how far a database's outbox was relayed to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cachekit.stores.turns import server_of

if TYPE_CHECKING:
    from cachekit.stores.base import Store

ADVANCE = (Path(__file__).parent / "lua" / "advance.lua").read_text()


class Mark(NamedTuple):
    """Which database it is, the last round that was told, and the last one that is known to be committed there."""

    database: str
    told: int
    done: int


def held_by(store: Store, using: str) -> Mark | None:
    """Return the mark of a database on a server. Raises StoreUnavailable."""
    with store.guard():
        database, told, done = _server(store).hmget(_key(store, using), "database", "told", "done")
    return None if told is None else Mark((database or b"").decode(), int(told), int(done or 0))


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


def _key(store: Store, using: str) -> str:
    return store.slot_key(f"relay:{using}")


def _server(store: Store) -> Any:
    return server_of(store)
