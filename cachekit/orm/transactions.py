"""Keep the tags of what a transaction writes until it commits, then invalidate them, before any on_commit handler."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from django.db import IntegrityError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from cachekit import outbox
from cachekit.invalidation import announce, invalidate_tags, keep, withdraw
from cachekit.orm import notices

Result = TypeVar("Result")

_local = threading.local()


def commits_by_itself(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether every statement on a connection is a transaction of its own."""
    return not connection.in_atomic_block and connection.get_autocommit() and not _begun_by_hand(connection)


def collect(connection: BaseDatabaseWrapper, tags: Iterable[str]) -> None:
    """Note what the open transaction has written: announced right before its commit, invalidated right after."""
    using = connection.alias
    pending = _pending(connection)
    pending.update(dict.fromkeys(tags))
    _dirty()[using] = pending
    _also_on_commit(connection, using)


def dirty_tags() -> Collection[str]:
    """Return what the open transactions of this thread have written."""
    dirty = getattr(_local, "dirty", None)
    if not dirty:
        return ()
    return {tag for pending in dirty.values() for tag in pending}


def committing(connection: BaseDatabaseWrapper, told: Collection[str], commit: Callable[[], Result]) -> Result:
    """Carry out what commits a change of these tags, between its intents and its invalidation.

    While the intents stand, entries with these tags are stale and what is computed is born stale. If this process
    dies in between, they end by themselves. Where a store cannot be told, the tags go into the outbox.
    """
    mark = uuid4().hex
    missed = announce(told, mark)
    boxed: list[str] = []

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
    except IntegrityError:
        withdraw(told, mark)  # refused: nothing was written
        raise
    except Exception:
        keep(told, missed)  # no answer: it may have been written all the same, so the intents stand
        raise
    heard = notices.taken(connection)
    told = (*dict.fromkeys((*told, *heard.tags)),)
    late = invalidate_tags(told, why="write", by=connection.alias, transaction=mark, settles=heard.settles)
    if unboxed := [one for one in late if one not in boxed]:
        outbox.write_alone(connection.alias, told, unboxed)
    return done


def statement(connection: BaseDatabaseWrapper, told: Collection[str], execute: Callable[[], Result]) -> Result:
    """Carry out a statement that changes these tags, in whatever transaction it belongs to."""
    if not commits_by_itself(connection):
        collect(connection, told)
        return execute()
    return committing(connection, told, execute)


def by_hand(connection: BaseDatabaseWrapper, sql: str, verb: str, execute: Callable[[], Result]) -> Result:
    """Carry out a statement that may begin or end a transaction past Django: `cursor.execute("BEGIN")`."""
    if verb in ("BEGIN", "START") and commits_by_itself(connection):
        done = execute()
        connection.__dict__["_cachekit_by_hand"] = True
        return done
    if verb in ("COMMIT", "END"):
        return _committed(connection, execute)
    if verb in ("ROLLBACK", "ABORT") and " TO " not in f"{sql} ".upper():
        return _rolled_back(connection, execute)
    return execute()


def _begun_by_hand(connection: BaseDatabaseWrapper) -> bool:
    return "_cachekit_by_hand" in connection.__dict__


def settle(connection: BaseDatabaseWrapper) -> None:
    """Invalidate what has been collected on a connection whose commits are none: a test case's."""
    told = tuple(_pending(connection))
    drop(connection)
    if told:
        invalidate_tags(told, why="write", by=connection.alias)


def drop(connection: BaseDatabaseWrapper) -> None:
    """Forget what has been collected: it was rolled back, or is being told."""
    _pending(connection).clear()
    _dirty().pop(connection.alias, None)
    connection.__dict__.pop("_cachekit_by_hand", None)
    notices.taken(connection)


def snapshot_hazard(connection: BaseDatabaseWrapper) -> str:
    """Tell why reads of the open transaction may be older than a read point taken now, or nothing."""
    if commits_by_itself(connection):
        return ""
    level = str(getattr(connection, "isolation_level", "") or "").upper().replace("_", " ")
    safe = {
        "postgresql": level in ("", "2", "READ COMMITTED") or level.endswith("READ COMMITTED"),
        "mysql": level == "READ COMMITTED",
        "oracle": True,
        "sqlite": _sees_the_latest(connection),
    }
    if safe.get(connection.vendor, False):
        return ""
    return f"a transaction on '{connection.alias}' reads a snapshot that may be older than what was committed since"


def _sees_the_latest(connection: Any) -> bool:
    """Tell whether an SQLite transaction holds the write lock from its start, or has its database to itself."""
    return (connection.transaction_mode or "").upper() in ("IMMEDIATE", "EXCLUSIVE") or connection.is_in_memory_db()


def watch(*, connection: Any, **_: object) -> None:
    """Wrap a connection's ways out of a transaction; `connection_created` calls this at each reconnect."""
    if getattr(connection, "_cachekit_watched", False):
        return
    if connection.alias not in connections.settings:
        return  # Django's `__no_db__`, on which PostgreSQL's test databases are created
    connection._cachekit_watched = True  # noqa: SLF001 - our own mark
    connection._commit = partial(_committed, connection, connection._commit)  # noqa: SLF001 - decisions.md: the commit hook
    connection._rollback = partial(_rolled_back, connection, connection._rollback)  # noqa: SLF001 - as above
    connection.close = partial(_closed, connection, connection.close)


def _committed(connection: BaseDatabaseWrapper, commit: Callable[[], Result]) -> Result:
    told = (*dict.fromkeys((*_pending(connection), *notices.heard(connection).tags)),)
    done = committing(connection, told, commit) if told else commit()
    drop(connection)
    return done


def _rolled_back(connection: BaseDatabaseWrapper, rollback: Callable[[], Result]) -> Result:
    try:
        return rollback()
    finally:
        drop(connection)


def _closed(connection: BaseDatabaseWrapper, close: Callable[[], None]) -> None:
    try:
        close()
    finally:
        if connection.connection is None or connection.closed_in_transaction:  # not so for a database in memory
            drop(connection)


def _pending(connection: BaseDatabaseWrapper) -> dict[str, None]:
    pending: dict[str, None] = connection.__dict__.setdefault("_cachekit_pending", {})
    return pending


def _dirty() -> dict[str, dict[str, None]]:
    if not hasattr(_local, "dirty"):
        _local.dirty = {}
    found: dict[str, dict[str, None]] = _local.dirty
    return found


def _also_on_commit(connection: Any, using: str) -> None:
    """Settle on on_commit too: test cases never commit, but can run its handlers (captureOnCommitCallbacks)."""
    if not connection.in_atomic_block:
        return  # manual mode knows no on_commit
    last = connection.run_on_commit[-1] if connection.run_on_commit else None
    if last is None or last[1] is not _settle_on_commit[using] or last[0] != set(connection.savepoint_ids):
        transaction.on_commit(_settle_on_commit[using], using=using)


class _Handlers(dict[str, Callable[[], None]]):
    """One handler a database, so that two can be told to be the same."""

    def __missing__(self, using: str) -> Callable[[], None]:
        self[using] = lambda: settle(connections[using])
        return self[using]


_settle_on_commit = _Handlers()
