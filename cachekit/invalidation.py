"""Invalidate tags in every cachekit cache, and keep what a store that is away has not got yet."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import connections, transaction

from cachekit import hooks
from cachekit.core.steps import Invalidate
from cachekit.core.tags import EVERYTHING
from cachekit.exceptions import StoreUnavailable
from cachekit.registry import targets_of
from cachekit.stores import aliases, store_for

MAX_WAITING = 1000
"""So many invalidations are kept for a store that is away; more than that become one of everything."""

_lock = threading.Lock()
_undelivered: dict[str, list[Invalidate]] = {}


def invalidate(*things: Any, why: str = "", by: str = "", alias: str = "") -> bool:
    """Make stale whatever depends on these models, instances, querysets or tags, in every cachekit cache.

    When it returns True every store knows. A store that is away gets it as soon as it answers again, and until then
    this process reads nothing from it. `why` and `by` are told to the dashboard; `alias` names one cache only.
    Inside a transaction it does so at once and once more after the commit: until then others read the old rows.
    Raises InvalidTag.
    """
    told = targets_of(things)
    again = partial(invalidate_tags, told, why=why, by=by, alias=alias)
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            transaction.on_commit(again, using=connection.alias, robust=True)
    return again()


def invalidate_tags(told: Iterable[str], *, why: str = "", by: str = "", alias: str = "") -> bool:
    """Like `invalidate`, for exactly these tags."""
    done = True
    for one, step in _steps(told, why, by, alias):
        try:
            deliver(one)
            store_for(one).do(step)
        except StoreUnavailable:
            done = _keep(one, step)
        else:
            hooks.tell(hooks.Invalidated(one, step.tags, why, by))
    return done


async def ainvalidate(*things: Any, why: str = "", by: str = "", alias: str = "") -> bool:
    """Like `invalidate`; querysets must be named by their model or their instances."""
    done = True
    for one, step in _steps(targets_of(things), why, by, alias):
        try:
            await adeliver(one)
            await store_for(one).ado(step)
        except StoreUnavailable:
            done = _keep(one, step)
        else:
            hooks.tell(hooks.Invalidated(one, step.tags, why, by))
    return done


def pending(alias: str) -> tuple[Invalidate, ...]:
    """Return what a store has not got yet."""
    return tuple(_undelivered.get(alias, ()))


def deliver(alias: str) -> None:
    """Give a store what it has not got. Raises StoreUnavailable if it is still away."""
    for step in pending(alias):
        store_for(alias).do(step)
        _delivered(alias, step)


async def adeliver(alias: str) -> None:
    """Like `deliver`."""
    for step in pending(alias):
        await store_for(alias).ado(step)
        _delivered(alias, step)


def forget() -> None:
    """Drop what is undelivered: for tests."""
    with _lock:
        _undelivered.clear()


def _steps(tags: Iterable[str], why: str, by: str, alias: str) -> list[tuple[str, Invalidate]]:
    told = tuple(tags)
    return [(one, Invalidate(told, why, by)) for one in ([alias] if alias else aliases())] if told else []


def _keep(alias: str, step: Invalidate) -> bool:
    with _lock:
        waiting = _undelivered.setdefault(alias, [])
        if len(waiting) < MAX_WAITING:
            waiting.append(step)
        else:
            waiting[:] = [Invalidate((EVERYTHING,), f"more than {MAX_WAITING} while the cache was away", "cachekit")]
    return False


def _delivered(alias: str, step: Invalidate) -> None:
    hooks.tell(hooks.Invalidated(alias, step.tags, step.why, step.by))
    with _lock:
        # by identity: an equal step may have been added since, and it has not been delivered
        left = [one for one in _undelivered.get(alias, ()) if one is not step]
        if left:
            _undelivered[alias] = left
        else:
            _undelivered.pop(alias, None)
