"""Increments on their way to the database: a hash of pending ones on the server, and the batches taken out of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import uuid4

from cachekit.stores.wire import pack, raised

if TYPE_CHECKING:
    from cachekit.stores.redis import RedisStore

SEAL = (Path(__file__).parent / "lua" / "wb_seal.lua").read_text()


class Batch(NamedTuple):
    """A bounded part of the increments that no longer changes, under an id of its own."""

    id: str
    increments: Mapping[str, int]


class Backlog:
    """The increments of one counter on one server. Every call raises StoreUnavailable where the server is away."""

    def __init__(self, store: RedisStore, name: str) -> None:
        self.store = store
        self.name = name
        self._pending = store.slot_key(f"wb:{name}")
        self._sealed = store.slot_key(f"wb:{name}:sealed")
        self._names = store.slot_key("wb:names")

    def add(self, field: str, n: int) -> None:
        """Add to a pending increment, in one round trip."""
        with self.store.guard():
            raised(self.store.wire.exchange(self._addition(field, n), 2))

    async def aadd(self, field: str, n: int) -> None:
        """Like `add`."""
        with self.store.guard():
            raised(await self.store.awire.exchange(self._addition(field, n), 2))

    def pending(self, field: str) -> int:
        """Return what was added and is not known to have reached the database."""
        with self.store.guard():
            pipeline: Any = self.store.client.pipeline(transaction=False)
            for key in (self._pending, *map(self._batch, self.sealed())):
                pipeline.hget(key, field)
            return sum(int(found or 0) for found in pipeline.execute())

    def waiting(self) -> int:
        """Return how many keys have pending increments, those in batches included."""
        with self.store.guard():
            pipeline: Any = self.store.client.pipeline(transaction=False)
            for key in (self._pending, *map(self._batch, self.sealed())):
                pipeline.hlen(key)
            return int(sum(pipeline.execute()))

    def sealed(self) -> list[str]:
        """Return the ids of batches that were taken and not dropped: in work now, or left by one who died."""
        with self.store.guard():
            return self._members(self._sealed)

    def seal(self, limit: int) -> Batch | None:
        """Take up to `limit` pending increments out, all at once, as a batch; None where nothing is pending."""
        batch = uuid4().hex
        with self.store.guard():
            sealing = self.store.client.register_script(SEAL)
            taken = sealing(keys=[self._pending, self._batch(batch), self._sealed], args=[batch, limit])
        return self.read(batch) if taken else None

    def read(self, batch: str) -> Batch:
        """Return a sealed batch; an empty one where it was dropped meanwhile."""
        with self.store.guard():
            found = cast("dict[bytes, bytes]", self.store.client.hgetall(self._batch(batch)))
        return Batch(batch, {field.decode(): int(n) for field, n in found.items()})

    def drop(self, batch: str) -> None:
        """Forget a batch that the database has."""
        with self.store.guard():
            pipeline: Any = self.store.client.pipeline(transaction=True)
            pipeline.unlink(self._batch(batch))
            pipeline.srem(self._sealed, batch)
            pipeline.execute()

    def names(self) -> list[str]:
        """Return the names of all counters that ever added on this server."""
        with self.store.guard():
            return self._members(self._names)

    def _addition(self, field: str, n: int) -> bytes:
        return pack("HINCRBY", self._pending, field, n) + pack("SADD", self._names, self.name)

    def _members(self, key: str) -> list[str]:
        return sorted(member.decode() for member in cast("set[bytes]", self.store.client.smembers(key)))

    def _batch(self, batch: str) -> str:
        return self.store.slot_key(f"wb:{self.name}:{batch}")
