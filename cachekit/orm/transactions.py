"""Keep the tags of what a transaction writes until it commits, then invalidate them, before any on_commit handler."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, TypeVar

from django.db import IntegrityError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from cachekit import outbox, registry, tenants
from cachekit.intents import withdraw
from cachekit.invalidation import invalidate_tags, keep
from cachekit.orm import early, notices, ongoing
from cachekit.orm.ongoing import commits_by_itself
from cachekit.orm.refusals import is_refusal

Result = TypeVar("Result")
QUICK = 0.05
"""Seconds within which a server that took the intents cannot have gone and another have come: who committed sooner
need not wait until they are settled."""


def is_integrity_error(error: Exception) -> bool:
    """Tell whether a statement was refused as a whole."""
    return isinstance(error, IntegrityError)


def collect(connection: BaseDatabaseWrapper, tags: Iterable[str]) -> None:
    """Note what the open transaction has written: announced right before its commit, invalidated right after."""
    one = ongoing.writing(connection)
    is_first = not one.tags
    one.tags.update(dict.fromkeys(tags))
    if is_first and one.tags:
        early.began(connection, one)
    _also_on_commit(connection)


def dirty_tags() -> Collection[str]:
    """Return what the open transactions of this thread and of this context have written."""
    found = {tag for one in ongoing.here() for tag in one.tags}
    return tenants.spread(found) if found else ()


def open_connections() -> list[BaseDatabaseWrapper]:
    """Return the connections of the open transactions of this thread and of this context."""
    return [one.connection for one in ongoing.here() if one.connection is not None]


def committing(
    connection: BaseDatabaseWrapper,
    told: Collection[str],
    commit: Callable[[], Result],
    refused: Callable[[Exception], bool] = is_integrity_error,
) -> Result:
    """Carry out what commits a change of these tags, between its intents and its invalidation.

    While the intents stand, entries with these tags are stale and what is computed is born stale. If this process
    dies in between, they end by themselves. Where a store cannot be told, the tags go into the outbox.
    """
    mark, began, missed = early.announced(connection, ongoing.of(connection), told)
    boxed: list[str] = []
    hung = [one for one, hangs in missed.items() if hangs]  # what it has not answered it need not take back

    def boxing() -> Result:
        if outbox.write(connection, told, missed):
            boxed.extend(missed)
        return commit()

    try:
        if missed and commits_by_itself(connection):
            with transaction.atomic(using=connection.alias):
                done = boxing()
        else:
            done = boxing() if missed else commit()
    except Exception as error:
        if refused(error):
            withdraw(told, mark, hung)  # nothing was written
        else:
            keep(told, missed)  # no answer: it may have been written all the same, so the intents stand
        raise
    heard = notices.taken(connection)
    intended, told = len(told), (*dict.fromkeys((*told, *heard.tags)),)
    waits = bool(missed) or len(told) > intended or time.monotonic() - began > QUICK
    late = invalidate_tags(told, why="write", by=connection.alias, mark=mark, settles=heard.settles, waits=waits)
    if unboxed := [one for one in late if one not in boxed]:
        outbox.write_alone(connection.alias, told, unboxed)
    return done


def statement(connection: BaseDatabaseWrapper, told: Collection[str], execute: Callable[[], Result]) -> Result:
    """Carry out a statement that changes these tags, in whatever transaction it belongs to."""
    if not commits_by_itself(connection):
        collect(connection, told)
        return execute()
    return committing(connection, told, execute)


def also(connection: BaseDatabaseWrapper, told: Collection[str]) -> None:
    """Note what a statement changed that nobody could know before it was carried out."""
    if commits_by_itself(connection):
        invalidate_tags(told, why="write", by=connection.alias)
    else:
        collect(connection, told)


def repeated(connection: BaseDatabaseWrapper, told: Collection[str], again: Callable[[], object]) -> None:
    """Have tags that were invalidated by hand told once more at the commit of the transaction that is open, if one is.

    Like those of writes: intents stand while it commits, and neither a process that dies nor somebody's `on_commit`
    handler that raises comes in between.
    """
    if early.is_test_case(connection):
        connection.on_commit(again, robust=True)
        return
    # an awaiter asks too, who must not make sure that there is a connection
    open_here = connection.in_atomic_block or not connection.autocommit or ongoing.is_begun_by_hand(connection)
    if connection.connection is not None and open_here:
        ongoing.writing(connection).named.update(dict.fromkeys(told))


def by_hand(connection: BaseDatabaseWrapper, sql: str, verb: str, execute: Callable[[], Result]) -> Result:
    """Carry out a statement that may begin or end a transaction past Django: `cursor.execute("BEGIN")`."""
    if verb in ("BEGIN", "START") and commits_by_itself(connection):
        _begin_by_hand(connection)
        try:
            return execute()
        except Exception:
            drop(connection)
            raise
    words, was_by_hand = f" {sql} ".upper(), ongoing.is_begun_by_hand(connection)
    if verb in ("COMMIT", "END"):
        if "PREPARED" in words:  # what another session has written, nobody knows where
            ongoing.writing(connection).named[registry.database_of(connection.alias)] = None
        done = _committed(connection, execute, is_integrity_error)  # more may stand behind the COMMIT
    elif verb in ("ROLLBACK", "ABORT") and " TO " not in words and "PREPARED" not in words:
        done = _rolled_back(connection, execute)
    else:
        return execute()
    if was_by_hand and " CHAIN" in words and " NO " not in words:
        _begin_by_hand(connection)
    return done


def settle(connection: BaseDatabaseWrapper) -> None:
    """Invalidate what has been collected on a connection whose commits are none: a test case's."""
    told = tuple(_pending(connection))
    if (one := ongoing.of(connection)) is not None:
        one.tags, one.named = {}, {}
    notices.taken(connection)
    if told:
        invalidate_tags(told, why="write", by=connection.alias)


def drop(connection: BaseDatabaseWrapper) -> None:
    """Forget what has been collected: it was rolled back, or is being told."""
    if (one := ongoing.of(connection)) is not None:
        early.dropped(one)
    ongoing.end(connection)
    connection.__dict__.pop("_cachekit_by_hand", None)
    if getattr(connection, "_cachekit_isolated", "") == "transaction":
        connection.__dict__["_cachekit_isolated"] = ""
    notices.taken(connection)


def watch(*, connection: Any, **_: object) -> None:
    """Wrap a connection's ways into a transaction and out of it; `connection_created` calls this at each reconnect."""
    if getattr(connection, "_cachekit_watched", False):
        return
    if connection.alias not in connections.settings:
        return  # Django's `__no_db__`, on which PostgreSQL's test databases are created
    connection._cachekit_watched = True  # noqa: SLF001 - our own mark
    connection._commit = partial(_committed, connection, connection._commit)  # noqa: SLF001 - decisions.md: the commit hook
    connection._rollback = partial(_rolled_back, connection, connection._rollback)  # noqa: SLF001 - as above
    connection.close = partial(_closed, connection, connection.close)
    begin = getattr(connection, "_start_transaction_under_autocommit", None)
    if begin is not None:  # how SQLite's transactions begin: by a statement, but Django's
        connection._start_transaction_under_autocommit = partial(_begun, connection, begin)  # noqa: SLF001 - as above
    connection._set_autocommit = partial(_switched, connection, connection._set_autocommit)  # noqa: SLF001 - as above
    if not connection.autocommit:
        ongoing.begin(connection)


def _begin_by_hand(connection: BaseDatabaseWrapper) -> None:
    ongoing.begin(connection)
    connection.__dict__["_cachekit_by_hand"] = True


def _begun(connection: BaseDatabaseWrapper, begin: Callable[[], None]) -> None:
    ongoing.begin(connection)
    try:
        begin()
    except Exception:
        ongoing.end(connection)
        raise
    connection.__dict__.pop("_cachekit_by_hand", None)


def _committed(
    connection: BaseDatabaseWrapper,
    commit: Callable[[], Result],
    refused: Callable[[Exception], bool] = is_refusal,
) -> Result:
    told = (*dict.fromkeys((*_pending(connection), *notices.heard(connection).tags)),)
    done = committing(connection, told, commit, refused) if told else commit()
    _over(connection)
    return done


def _switched(connection: BaseDatabaseWrapper, switch: Callable[[bool], None], autocommit: bool) -> None:
    if not autocommit:
        ongoing.begin(connection)
    switch(autocommit)
    if autocommit:  # some databases commit then
        settle(connection)
        drop(connection)


def _rolled_back(connection: BaseDatabaseWrapper, rollback: Callable[[], Result]) -> Result:
    try:
        return rollback()
    finally:
        _over(connection)


def _over(connection: BaseDatabaseWrapper) -> None:
    """Forget a transaction; where autocommit is off another begins with the next statement."""
    drop(connection)
    if not connection.autocommit:
        ongoing.begin(connection)


def _closed(connection: BaseDatabaseWrapper, close: Callable[[], None]) -> None:
    try:
        close()
    finally:
        if connection.connection is None or connection.closed_in_transaction:  # not so for a database in memory
            drop(connection)
            connection.__dict__["_cachekit_isolated"] = ""


def _pending(connection: BaseDatabaseWrapper) -> dict[str, None]:
    open_one = ongoing.of(connection)
    return {} if open_one is None else open_one.tags | open_one.named


def _also_on_commit(connection: Any) -> None:
    """Settle on on_commit too inside test cases: they never commit, but run its handlers (captureOnCommitCallbacks).

    After each write, since nobody can tell from which moment on they will be run.
    """
    if early.is_test_case(connection):
        transaction.on_commit(partial(settle, connection), using=connection.alias)
