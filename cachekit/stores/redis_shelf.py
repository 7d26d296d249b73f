"""Statistics on a Redis server: hashes beside the ledger, written in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cachekit.stores.redis import RedisStore
from cachekit.stores.shelf import LIFETIMES, Bucket, Event
from cachekit.stores.wire import pack, raised


class RedisShelf:
    """The sums of one store."""

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
        """Return the fields of each bucket, in one round trip; past redis-py, whose pipelines take 5 times as long."""
        payload = b"".join(pack("HGETALL", self._name(bucket)) for bucket in buckets)
        with self._store.guard():
            replies = raised(self._store.wire.exchange(payload, len(buckets)))
        return [_fields(reply) for reply in replies]

    def events(self, limit: int) -> list[Event]:
        """Return the end of the ledger's stream."""
        with self._store.guard():
            client: Any = self._store.client
            told = client.xrevrange(self._store.slot_key("events"), count=limit)
        return [_event({_text(name): _text(value) for name, value in fields.items()}) for _, fields in told]

    def _name(self, bucket: Bucket) -> str:
        return self._store.slot_key(f"stats:{self._store.alias}:{bucket.kind}:{bucket.start}")


def _event(fields: Mapping[str, str]) -> Event:
    told, seq, kind = tuple(fields["tags"].split()), int(fields.get("seq", 0)), fields.get("kind", "settled")
    return Event(int(fields["point"]), told, fields.get("why", ""), fields.get("by", ""), seq, kind)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _fields(reply: Any) -> dict[str, int]:
    """Read a hash, which RESP3 gives as a map and RESP2 as a list."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {_text(field): int(times) for field, times in pairs}
