"""What tests of a project that uses cachekit need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

from cachekit import engine, hooks, invalidation, near, stats, stores, suspects
from cachekit.orm import early, transactions
from cachekit.stores.memory import MemoryStore


def reset() -> None:
    """Forget everything that this process knows of its caches; caches in memory are emptied."""
    for alias in stores.aliases():
        store = stores.store_for(alias)
        if isinstance(store, MemoryStore):
            store.clear()
    stores.forget()
    near.forget()
    invalidation.forget()
    engine.flights.forget()
    stats.forget()
    suspects.forget()
    early.forget()


def settle() -> None:
    """Tell the caches what the open transactions have written, as their commit would: a `TestCase` never commits."""
    for connection in connections.all(initialized_only=True):
        transactions.settle(connection)


@contextmanager
def assert_cached() -> Iterator[None]:
    """Raise AssertionError unless every cached thing that is used inside was a hit, and at least one was used."""
    with _heard(hooks.Lookup) as seen:
        yield
    _demand(seen, "Nothing cached was used.")
    others = [f"{one.door}:{one.name} ({one.result})" for one in seen if one.result != "hit"]
    _demand(not others, f"Not answered from the cache: {', '.join(others)}.")


@contextmanager
def assert_computed() -> Iterator[None]:
    """Raise AssertionError if a cached thing that is used inside was a hit, or if none was used."""
    with _heard(hooks.Lookup) as seen:
        yield
    _demand(seen, "Nothing cached was used.")
    others = [f"{one.door}:{one.name}" for one in seen if one.result == "hit"]
    _demand(not others, f"Answered from the cache: {', '.join(others)}.")


@contextmanager
def invalidated() -> Iterator[set[str]]:
    """Give the tags that were invalidated inside, those of writes that are not committed too, when it is left."""
    found: set[str] = set()
    with _heard(hooks.Invalidated) as seen:
        yield found
        settle()
    found.update(tag for one in seen for tag in one.tags)


def _demand(given: object, otherwise: str) -> None:
    if not given:
        raise AssertionError(otherwise)


@contextmanager
def _heard(kind: type[Any]) -> Iterator[list[Any]]:
    seen: list[Any] = []
    note: Callable[[Any], None] = seen.append
    hooks.subscribe(kind, note)
    try:
        yield seen
    finally:
        hooks.unsubscribe(kind, note)
