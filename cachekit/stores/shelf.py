"""Where statistics lie: sums in hashes that expire, beside the ledger or in this process."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from cachekit.stores.directory import store_for
from cachekit.stores.memory import MemoryStore

LIFETIMES = {"m": 7 * 3_600, "q": 25 * 3_600, "h": 32 * 86_400, "n": 8 * 86_400}
"""How many seconds a bucket is kept: minutes, quarters of an hour, hours, and names by the hour."""


class Bucket(NamedTuple):
    """A stretch of time in which things are counted together: its kind, and when it began."""

    kind: str
    start: int


class Event(NamedTuple):
    """One invalidation, as the ledger's stream tells it; `point` in microseconds, an intent's in the future."""

    point: int
    tags: tuple[str, ...]
    why: str
    by: str
    seq: int = 0
    """Its number among the ledger's events; memory gives none."""
    kind: str = "settled"
    """`intent` where a commit was only announced."""

    @property
    def is_intent(self) -> bool:
        """Tell whether a commit was announced; what came of it is an event of its own."""
        return self.kind == "intent"


class Shelf(Protocol):
    """What keeps the sums of one alias."""

    def add(self, sums: Mapping[Bucket, Mapping[str, int]]) -> None:
        """Add to the fields of buckets. Raises StoreUnavailable."""

    def read(self, buckets: Sequence[Bucket]) -> list[Mapping[str, int]]:
        """Return the fields of each bucket. Raises StoreUnavailable."""

    def events(self, limit: int) -> list[Event]:
        """Return the latest invalidations, newest first. Raises StoreUnavailable."""


class MemoryShelf:
    """Counters in this process, beside a store that is in this process too."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._sums = _in_memory.setdefault(store, {})

    def add(self, sums: Mapping[Bucket, Mapping[str, int]]) -> None:
        """Add to the fields of buckets, and forget those whose time is over."""
        now = time.time()
        with _lock:
            for bucket, fields in sums.items():
                self._sums.setdefault(bucket, Counter()).update(fields)
            for bucket in [bucket for bucket in self._sums if bucket.start + LIFETIMES[bucket.kind] < now]:
                del self._sums[bucket]

    def read(self, buckets: Sequence[Bucket]) -> list[Mapping[str, int]]:
        """Return the fields of each bucket."""
        with _lock:
            return [dict(self._sums.get(bucket, {})) for bucket in buckets]

    def events(self, limit: int) -> list[Event]:
        """Return the end of the store's list."""
        latest = list(self._store.events)[-limit:]
        return [Event(point, step.tags, step.why, step.by) for point, step in reversed(latest)]


_in_memory: WeakKeyDictionary[MemoryStore, dict[Bucket, Counter[str]]] = WeakKeyDictionary()
_lock = threading.Lock()


def shelf_for(alias: str) -> Shelf:
    """Return the shelf of an alias. Raises ImproperStore where the alias is not cachekit's."""
    store: Any = store_for(alias)
    if isinstance(store, MemoryStore):
        return MemoryShelf(store)
    from cachekit.stores.redis_shelf import RedisShelf  # noqa: PLC0415 - redis is an extra

    return RedisShelf(store)
