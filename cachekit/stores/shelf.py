"""Where statistics lie: sums in hashes that expire, beside the ledger or in this process."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from cachekit.stores.directory import store_for
from cachekit.stores.memory import MemoryStore

if TYPE_CHECKING:
    from cachekit.stores.redis import RedisStore

LIFETIMES = {"m": 25 * 3_600, "h": 32 * 86_400, "n": 8 * 86_400}
"""How many seconds a bucket of minutes, of hours, and of names by the hour is kept."""


class Bucket(NamedTuple):
    """A stretch of time in which things are counted together: its kind, and when it began."""

    kind: str
    start: int


class Event(NamedTuple):
    """One invalidation, as the ledger's stream tells it; `point` in microseconds."""

    point: int
    tags: tuple[str, ...]
    why: str
    by: str


class Shelf(Protocol):
    """What keeps the sums of one alias."""

    def add(self, sums: Mapping[Bucket, Mapping[str, int]]) -> None:
        """Add to the fields of buckets. Raises StoreUnavailable."""

    def read(self, buckets: Sequence[Bucket]) -> list[Mapping[str, int]]:
        """Return the fields of each bucket. Raises StoreUnavailable."""

    def events(self, limit: int) -> list[Event]:
        """Return the latest invalidations, newest first. Raises StoreUnavailable."""


class RedisShelf:
    """Hashes beside the ledger, written in one transaction."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def add(self, sums: Mapping[Bucket, Mapping[str, int]]) -> None:
        """Add to the fields of buckets; all of it arrives or none."""
        with self._store.guard():
            pipe: Any = self._store.client.pipeline(transaction=True)
            for bucket, fields in sums.items():
                name = self._name(bucket)
                for field, times in fields.items():
                    pipe.hincrby(name, field, times)
                pipe.expire(name, LIFETIMES[bucket.kind])
            pipe.execute()

    def read(self, buckets: Sequence[Bucket]) -> list[Mapping[str, int]]:
        """Return the fields of each bucket, in one round trip."""
        with self._store.guard():
            pipe: Any = self._store.client.pipeline(transaction=False)
            for bucket in buckets:
                pipe.hgetall(self._name(bucket))
            return [{_text(field): int(times) for field, times in found.items()} for found in pipe.execute()]

    def events(self, limit: int) -> list[Event]:
        """Return the end of the ledger's stream."""
        with self._store.guard():
            client: Any = self._store.client
            told = client.xrevrange(self._store.slot_key("events"), count=limit)
        return [_event({_text(name): _text(value) for name, value in fields.items()}) for _, fields in told]

    def _name(self, bucket: Bucket) -> str:
        return self._store.slot_key(f"stats:{self._store.alias}:{bucket.kind}:{bucket.start}")


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
    return MemoryShelf(store) if isinstance(store, MemoryStore) else RedisShelf(store)


def _event(fields: Mapping[str, str]) -> Event:
    return Event(int(fields["point"]), tuple(fields["tags"].split()), fields.get("why", ""), fields.get("by", ""))


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
