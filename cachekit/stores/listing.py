"""What a store's server says of its keys, whatever cachekit wrote there: in batches, and never all at once."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from cachekit.stores.base import Store
from cachekit.stores.directory import store_for
from cachekit.stores.memory import MemoryStore

MEMBERS = 100
"""So many members of a hash, list, set or stream are read."""


class Fact(NamedTuple):
    """What is known of a key: its type, its seconds to live (None for ever), its bytes (None where not told)."""

    raw: bytes
    type: str
    ttl: float | None
    size: int | None


class Value(NamedTuple):
    """The start of a string, or the first members of something else; `length` is the whole's."""

    length: int
    data: bytes = b""
    members: tuple[tuple[bytes, ...], ...] = ()


class Listing(Protocol):
    """The keys of one store. Every method raises StoreUnavailable."""

    @property
    def store(self) -> Store:
        """The store."""

    def total(self) -> int:
        """Return how many keys the database holds, others' included."""

    def scan(self, cursor: int, match: bytes, count: int) -> tuple[int, list[bytes]]:
        """Look at about `count` keys from `cursor` on; cursor 0 ends the walk."""

    def facts(self, keys: Sequence[bytes]) -> list[Fact]:
        """Describe the keys that exist."""

    def heads(self, keys: Sequence[bytes], size: int) -> list[bytes]:
        """Return the first bytes of each key's string; nothing for other types."""

    def value(self, raw: bytes, kind: str, limit: int) -> Value:
        """Return the start of what stands under a key."""

    def remove(self, keys: Sequence[bytes]) -> int:
        """Remove keys and return how many of them there were."""

    def info(self) -> bytes:
        """Return what the server says of itself, as it says it; nothing where there is no server."""


class MemoryListing:
    """The entries of a store in this process."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def total(self) -> int:
        """Count them."""
        return len(self.store.entries)

    def scan(self, cursor: int, match: bytes, count: int) -> tuple[int, list[bytes]]:
        """Look at all of them: there are 10,000 at most."""
        fits = _regex(match).fullmatch
        return 0, [raw for raw in map(os.fsencode, list(self.store.entries)) if fits(raw)]

    def facts(self, keys: Sequence[bytes]) -> list[Fact]:
        """Look them up."""
        now, found = time.time(), []
        for raw in keys:
            kept = self.store.entries.get(os.fsdecode(raw))
            if kept is not None and kept.until > now:
                left = None if math.isinf(kept.until) else kept.until - now
                found.append(Fact(raw, "string", left, len(kept.data)))
        return found

    def heads(self, keys: Sequence[bytes], size: int) -> list[bytes]:
        """Look them up."""
        return [self.value(raw, "string", size).data for raw in keys]

    def value(self, raw: bytes, kind: str, limit: int) -> Value:
        """Look it up."""
        kept = self.store.entries.get(os.fsdecode(raw))
        return Value(len(kept.data), kept.data[:limit]) if kept else Value(0)

    def remove(self, keys: Sequence[bytes]) -> int:
        """Remove them from the store's entries."""
        return sum(self.store.entries.pop(os.fsdecode(raw), None) is not None for raw in keys)

    def info(self) -> bytes:
        """Say nothing: there is no server."""
        return b""


def listing_for(alias: str) -> Listing:
    """Return the listing of an alias. Raises ImproperStore where the alias is not cachekit's."""
    store: Any = store_for(alias)
    if isinstance(store, MemoryStore):
        return MemoryListing(store)
    from cachekit.stores.redis_listing import RedisListing  # noqa: PLC0415 - redis is an extra

    return RedisListing(store)


def _regex(match: bytes) -> re.Pattern[bytes]:
    """Turn a glob of Redis into a regular expression."""
    parts = re.findall(rb"\\.|\[\^?(?:\\.|[^\]])*\]|.", match, re.DOTALL)
    simple = {b"*": b".*", b"?": b"."}
    return re.compile(
        b"".join(
            simple.get(part) or (part if part[:1] == b"[" and len(part) > 1 else re.escape(part[-1:])) for part in parts
        ),
        re.DOTALL,
    )
