"""Let one process of the fleet at a time do a thing."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cachekit.exceptions import StoreUnavailable
from cachekit.stores.base import Store

if TYPE_CHECKING:
    from redis import Redis
    from redis.lock import Lock

logger = logging.getLogger("cachekit.turns")

_local: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)


def server_of(store: Store) -> Redis | None:
    """Return the client of the store's server, or None where the store lives in this process."""
    return getattr(store, "client", None)


@contextmanager
def turn(store: Store, name: str, *, seconds: float) -> Iterator[bool]:
    """Yield whether it is this caller's turn; who dies in it blocks the others for `seconds` at most.

    Raises StoreUnavailable where the server cannot be asked. A turn that outlives its seconds may overlap the next.
    """
    server = server_of(store)
    if server is None:
        yield from _local_turn(_local[store.alias, name])
        return
    lock = server.lock(store.slot_key(f"turn:{name}"), timeout=seconds)
    with store.guard():
        mine = lock.acquire(blocking=False)
    try:
        yield mine
    finally:
        if mine:
            try:
                with store.guard():
                    _give_back(lock, name)
            except StoreUnavailable as error:
                logger.warning("The turn '%s' ends by itself in %s s: %s", name, seconds, error)


def _give_back(lock: Lock, name: str) -> None:
    from redis.exceptions import LockNotOwnedError  # noqa: PLC0415 - in memory all works without redis-py

    try:
        lock.release()
    except LockNotOwnedError:
        logger.warning("The turn '%s' took longer than its time limit; another may have begun meanwhile", name)


def _local_turn(lock: threading.Lock) -> Iterator[bool]:
    mine = lock.acquire(blocking=False)
    try:
        yield mine
    finally:
        if mine:
            lock.release()
