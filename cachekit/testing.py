"""What tests of a project that uses cachekit need."""

from __future__ import annotations

from cachekit import engine, invalidation, stats, stores, suspects
from cachekit.stores.memory import MemoryStore


def reset() -> None:
    """Forget everything that this process knows of its caches; caches in memory are emptied."""
    for alias in stores.aliases():
        store = stores.store_for(alias)
        if isinstance(store, MemoryStore):
            store.clear()
    stores.forget()
    invalidation.forget()
    engine.flights.forget()
    stats.forget()
    suspects.forget()
