"""The heartbeats that relays leave in the cache servers they serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cachekit.stores.turns import server_of

if TYPE_CHECKING:
    from cachekit.stores.base import Store

BEAT = (Path(__file__).parent / "lua" / "beat.lua").read_text()


class Beat(NamedTuple):
    """What a relay said of itself last; `ago` in seconds of the server's clock."""

    name: str
    """The host, and the number of the process."""
    kind: str
    """`command`, or `task` where Celery looks now and then."""
    ago: float
    delivered: int = 0
    waiting: int = 0
    oldest: float = 0.0


def beat(store: Store, mine: Beat) -> None:
    """Leave a heartbeat. Raises StoreUnavailable."""
    if (server := _server(store)) is not None:
        with store.guard():
            server.eval(BEAT, 1, _key(store), mine.name, json.dumps(mine._replace(ago=0.0)))


def stop_beating(store: Store, name: str) -> None:
    """Take the heartbeat of a relay back that ends in good order. Raises StoreUnavailable."""
    if (server := _server(store)) is not None:
        with store.guard():
            server.hdel(_key(store), name)


def beats(store: Store) -> list[Beat]:
    """Return the last heartbeats of the relays that serve a cache, newest first. Raises StoreUnavailable."""
    server = _server(store)
    if server is None:
        return []
    with store.guard():
        seconds, microseconds = server.time()
        found = server.hgetall(_key(store))
    now, made = seconds + microseconds / 1_000_000, []
    for value in found.values():
        at, _, said = value.partition(b" ")
        made.append(Beat(*json.loads(said))._replace(ago=max(0.0, now - int(at) / 1_000_000)))
    return sorted(made, key=lambda one: one.ago)


def _key(store: Store) -> str:
    return store.slot_key("relays")


def _server(store: Store) -> Any:
    return server_of(store)
