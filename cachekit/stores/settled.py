"""Notes that a writer has told a cache of its transaction itself, so that the relay need not tell it again."""

from __future__ import annotations

from collections.abc import Collection

from cachekit.stores.base import Store
from cachekit.stores.turns import server_of


def settled(store: Store, names: Collection[str]) -> set[str]:
    """Return those of these transactions that a store knows to be settled. Raises StoreUnavailable."""
    server, listed = server_of(store), sorted(names)
    if server is None or not listed:
        return set()
    with store.guard():
        notes = server.mget([store.slot_key(f"settled:{name}") for name in listed])
    return {name for name, note in zip(listed, notes, strict=True) if note}
