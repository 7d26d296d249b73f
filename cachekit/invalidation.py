"""Invalidate tags in every cachekit cache, and keep what a store that is away has not got yet."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache import InvalidCacheBackendError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cachekit import hooks, memos, tenants
from cachekit.conf import conf
from cachekit.core.steps import Begin, Invalidate
from cachekit.core.tags import EVERYTHING
from cachekit.exceptions import CachekitError, StoreUnavailable
from cachekit.registry import targets_of
from cachekit.stores import Store, aliases, store_for

RETRY_SECONDS = 0.05
LINGERS = 5.0
"""Seconds for which the courier stays after the last errand."""
MAX_WAITING = 1000
"""So many invalidations are kept for a store that is away; more than that become one of everything."""

drained: Callable[[str], bool] = bool
"""Relays what outboxes hold for a cache, tells whether nothing is left; the ORM's room plugs itself in."""
open_connections: Callable[[], Iterable[BaseDatabaseWrapper]] = tuple
"""Asks for the connections of the transactions open here; plugged in as above."""


def _on_commit(connection: BaseDatabaseWrapper, told: Collection[str], again: Callable[[], object]) -> None:
    if connection.in_atomic_block:
        connection.on_commit(again, robust=True)


repeated: Callable[[BaseDatabaseWrapper, Collection[str], Callable[[], object]], None] = _on_commit
"""Has what was invalidated in a connection's open transaction told once more at its commit; plugged in as above."""

recorder: Callable[[Collection[str], Collection[str]], str] | None = None
"""Writes what is invalidated by hand into the outbox, where everything passes through it, and returns the name by which
the relay learns that it is told; plugged in as above."""

_lock = threading.Lock()
_undelivered: dict[str, list[Invalidate]] = {}
_posted: set[str] = set()
"""The aliases whose stores were sent what nobody waits for."""
_courier: tuple[int, threading.Thread] | None = None
_busy_until = 0.0


def plug(
    relays: Callable[[str], bool],
    opened: Callable[[], Iterable[BaseDatabaseWrapper]],
    repeats: Callable[[BaseDatabaseWrapper, Collection[str], Callable[[], object]], None],
) -> None:
    """Say who knows what the outboxes hold, which transactions are open, and when they commit."""
    global drained, open_connections, repeated
    drained, open_connections, repeated = relays, opened, repeats


def plug_recorder(records: Callable[[Collection[str], Collection[str]], str]) -> None:
    """Say who writes into the outbox."""
    global recorder  # noqa: PLW0603 - one socket, one plug
    recorder = records


def invalidate(*things: Any, why: str = "", by: str = "", alias: str = "") -> bool:
    """Make stale whatever depends on these models, instances, querysets or tags, in every cachekit cache.

    When it returns True every store knows. A store that is away gets it as soon as it answers again, and until then
    this process reads nothing from it. `why` and `by` are told to the dashboard; `alias` names one cache only.
    Inside a transaction it does so at once and once more after the commit: until then others read the old rows.
    Raises InvalidTag.
    """
    told, only = targets_of(things), (alias,) if alias else ()
    settles = recorder(told, only) if recorder is not None and conf().OUTBOX == "always" else ""
    again = _repeated(told, why, by, only)
    return not again(settles=settles)


async def ainvalidate(*things: Any, why: str = "", by: str = "", alias: str = "") -> bool:
    """Like `invalidate`; querysets must be named by their model or their instances."""
    told, only, missed = targets_of(things), (alias,) if alias else (), []
    always = recorder is not None and conf().OUTBOX == "always"
    settles = await sync_to_async(recorder)(told, only) if recorder is not None and always else ""
    _repeated(told, why, by, only)
    try:
        for one, step in _steps(told, why, by, "", only):
            try:
                await adeliver(one)
                await store_for(one).ado(step._replace(settles=settles))
            except StoreUnavailable:
                _keep(one, step)
                missed.append(one)
            else:
                hooks.tell(hooks.Invalidated(one, step.tags, why, by))
    finally:
        memos.forget(told)
    return not missed


def _repeated(told: Collection[str], why: str, by: str, only: Collection[str]) -> Callable[..., Collection[str]]:
    """Return what invalidates, and have it done once more with the commit of each transaction that is open here.

    An awaiter's may be open on another thread, which waits for it meanwhile.
    """
    again = partial(invalidate_tags, told, why=why, by=by, only=only)
    here = {id(one): one for one in (*connections.all(initialized_only=True), *open_connections())}
    for connection in here.values():
        repeated(connection, told, again)
    return again


def invalidate_tags(
    told: Iterable[str],
    *,
    why: str = "",
    by: str = "",
    mark: str = "",
    settles: str = "",
    only: Collection[str] = (),
    waits: bool = True,
) -> list[str]:
    """Invalidate exactly these tags and end a transaction's own intents; return the aliases that have not got it.

    `settles` is the database's name of the transaction: the relay need not tell it again. Who does not wait has put
    intents that stand until they are settled, however long that takes: nothing is stale meanwhile.
    """
    missed, told = [], tuple(told)
    try:
        for one, plain in _steps(told, why, by, mark, only):
            step = plain._replace(settles=settles)
            if not _done(one, step, waits=waits):
                _keep(one, step)
                missed.append(one)
    finally:
        memos.forget(told)  # after the stores: what was read of them meanwhile is forgotten too
    return missed


def relayed(told: Iterable[str], only: Collection[str]) -> bool:
    """Invalidate tags out of an outbox, which keeps them where this returns False."""
    outcomes = [_done(one, step) for one, step in _steps(told, "relay", "", "", only)]
    return all(outcomes)


def _done(alias: str, step: Invalidate, *, waits: bool = True) -> bool:
    try:
        deliver(alias)
        store = store_for(alias)
        if waits or store.evicts:
            store.do(step)
        else:
            store.post(step, partial(_keep, alias, step))
            _posted.add(alias)
            _send_courier()
    except StoreUnavailable:
        return False
    hooks.tell(hooks.Invalidated(alias, step.tags, step.why, step.by))
    return True


def keep(told: Collection[str], only: Collection[str]) -> None:
    """Have tags invalidated as soon as these stores answer; until then this process reads nothing from them."""
    for one in only:
        _keep(one, Invalidate(tuple(tenants.spread(told)), "write"))


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


def catch_up(store: Store) -> None:
    """Have a store told what it missed, by this process and by others, before it is read again.

    Raises StoreUnavailable while it is away, or while an outbox holds what it has not got.
    """
    if pending(store.alias):
        with store.guard():  # a reader tries no server that is known to be away: the courier does
            deliver(store.alias)
    if store.suspect:
        troubles = store.troubles
        store.do(Begin(""))
        _got_over(store, troubles, drained(store.alias))


async def acatch_up(store: Store) -> None:
    """Like `catch_up`."""
    if pending(store.alias):
        with store.guard():
            await adeliver(store.alias)
    if store.suspect:
        troubles = store.troubles
        await store.ado(Begin(""))
        _got_over(store, troubles, await sync_to_async(drained)(store.alias))


def _got_over(store: Store, troubles: int, told: bool) -> None:
    if not told:
        raise StoreUnavailable(f"The cache server of alias '{store.alias}' has not been told of every write yet")
    store.got_over(troubles)


def forget() -> None:
    """Drop what is undelivered, and let the courier go: for tests."""
    global _busy_until  # noqa: PLW0603 - as in _send_courier
    _busy_until = 0.0
    with _lock:
        _undelivered.clear()
        _posted.clear()


def _steps(tags: Iterable[str], why: str, by: str, mark: str, only: Collection[str]) -> list[tuple[str, Invalidate]]:
    told = tuple(tenants.spread(tags))
    return [(one, Invalidate(told, why, by, mark)) for one in only or aliases()] if told else []


def owe(alias: str, step: Invalidate) -> None:
    """Have a store told as soon as it answers, once though it is said often; nothing is read from it before."""
    store_for(alias).hold(on=True)
    with _lock:  # an equal step may be under way: this one comes after it
        _undelivered[alias] = [*(one for one in _undelivered.get(alias, ()) if one != step), step]
    _send_courier()


def _keep(alias: str, step: Invalidate) -> None:
    store_for(alias).hold(on=True)
    with _lock:
        waiting = _undelivered.setdefault(alias, [])
        if len(waiting) < MAX_WAITING:
            waiting.append(step)
        else:
            waiting[:] = [Invalidate((EVERYTHING,), f"more than {MAX_WAITING} while the cache was away", "cachekit")]
    _send_courier()


def _send_courier() -> None:
    """Have this process's courier look after what is under way for some seconds from now."""
    global _courier, _busy_until  # noqa: PLW0603 - one courier a process
    _busy_until = time.monotonic() + LINGERS
    if _courier is not None and _courier[0] == os.getpid() and _courier[1].is_alive():
        return
    with _lock:
        if _courier is None or _courier[0] != os.getpid() or not _courier[1].is_alive():
            _courier = os.getpid(), threading.Thread(target=_run_errands, name="cachekit-courier", daemon=True)
            _courier[1].start()


def _run_errands() -> None:
    """Deliver as soon as a store is back, since other processes' readers wait for it, and hear of what was posted."""
    global _courier  # noqa: PLW0603 - one courier a process
    while True:
        time.sleep(RETRY_SECONDS)
        for alias in {*_undelivered, *_posted}:
            try:
                if not store_for(alias).hear():
                    _posted.discard(alias)
                deliver(alias)
            except (CachekitError, InvalidCacheBackendError):
                continue  # still away, or no longer in the settings
        with _lock:
            me, _courier = _courier, None  # who comes from now on sends another, or left something to see here
            if not _undelivered and not _posted and time.monotonic() > _busy_until:
                return
            _courier = me


def _delivered(alias: str, step: Invalidate) -> None:
    hooks.tell(hooks.Invalidated(alias, step.tags, step.why, step.by))
    with _lock:
        # by identity: an equal step may have been added since, and it has not been delivered
        left = [one for one in _undelivered.get(alias, ()) if one is not step]
        if left:
            _undelivered[alias] = left
        else:
            _undelivered.pop(alias, None)
            store_for(alias).hold(on=False)
