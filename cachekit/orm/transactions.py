"""Keep the tags of what a transaction writes until it commits, then invalidate them, before any on_commit handler."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4
from weakref import WeakSet

from django.db import IntegrityError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from cachekit import outbox, tenants
from cachekit.invalidation import announce, invalidate_tags, keep, withdraw
from cachekit.orm import notices

Result = TypeVar("Result")

_local = threading.local()
_here: ContextVar[tuple[dict[str, None], ...]] = ContextVar("cachekit_written", default=())
"""What was written in this context: `async_to_sync` awaits on another thread than that of the transaction."""


def commits_by_itself(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether every statement on a connection is a transaction of its own."""
    return not connection.in_atomic_block and connection.get_autocommit() and not _begun_by_hand(connection)


def collect(connection: BaseDatabaseWrapper, tags: Iterable[str]) -> None:
    """Note what the open transaction has written: announced right before its commit, invalidated right after."""
    using = connection.alias
    pending = _pending(connection)
    pending.update(dict.fromkeys(tags))
    _dirty()[using] = pending
    _note_here(pending)
    _also_on_commit(connection, using)


def dirty_tags() -> Collection[str]:
    """Return what the open transactions of this thread have written."""
    dirty, here = getattr(_local, "dirty", None), _here.get()
    if not dirty and not here:
        return ()
    return tenants.spread({tag for pending in (*(dirty or {}).values(), *here) for tag in pending})


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
    late = invalidate_tags(told, why="write", by=connection.alias, mark=mark, settles=heard.settles)
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
    connection.__dict__["_cachekit_pending"] = {}  # another: contexts may still hold the one of this transaction
    _dirty().pop(connection.alias, None)
    connection.__dict__.pop("_cachekit_by_hand", None)
    if getattr(connection, "_cachekit_isolated", "") == "transaction":
        connection.__dict__["_cachekit_isolated"] = ""
    notices.taken(connection)


def snapshot_hazard(connection: BaseDatabaseWrapper) -> str:
    """Tell why others must not see what the open transaction reads, or why it may be older than now; or nothing."""
    if _pending(connection):  # asked of the connection: an awaited reader runs on another thread than its ORM
        return "its transaction has written"
    if commits_by_itself(connection):
        rows = _unfinished(connection)
        return f"rows of '{connection.alias}' are still being fetched, from an older snapshot" if rows else ""
    if sees_the_latest(connection):
        return ""
    return f"a transaction on '{connection.alias}' reads a snapshot that may be older than what was committed since"


def sees_the_latest(connection: Any) -> bool:
    """Tell whether each statement of the open transaction sees what has been committed before it."""
    if connection.vendor == "sqlite":  # it holds the write lock from its start, or has its database to itself
        if _begun_by_hand(connection):
            return bool(connection.is_in_memory_db())
        return (connection.transaction_mode or "").upper() in ("IMMEDIATE", "EXCLUSIVE") or connection.is_in_memory_db()
    level: Any = getattr(connection, "isolation_level", None) or ""
    level = str(getattr(level, "name", level)).upper().replace("_", " ")  # the numbers differ between drivers
    safe = {"postgresql": ("", "READ COMMITTED", "READ UNCOMMITTED"), "mysql": ("READ COMMITTED",), "oracle": (level,)}
    return level in safe.get(connection.vendor, ()) and not getattr(connection, "_cachekit_isolated", "")


def isolated(connection: Any, sql: str) -> None:
    """Note that raw SQL chose an isolation level, for this transaction or until the connection is closed."""
    connection._cachekit_isolated = "session" if "SESSION" in sql or "DEFAULT" in sql else "transaction"  # noqa: SLF001 - our own mark


def fetching(connection: BaseDatabaseWrapper, rows: Any) -> None:
    """Note that rows are fetched one by one: on SQLite the snapshot of the first lasts until the last."""
    if connection.vendor == "sqlite" and hasattr(rows, "gi_frame"):
        connection.__dict__.setdefault("_cachekit_fetching", WeakSet()).add(rows)


def _unfinished(connection: Any) -> bool:
    found: Collection[Any] = getattr(connection, "_cachekit_fetching", ())
    return any(rows.gi_frame is not None for rows in tuple(found)) and not connection.is_in_memory_db()


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
    begin = getattr(connection, "_start_transaction_under_autocommit", None)
    if begin is not None:  # how SQLite's transactions begin: by a statement, but Django's
        connection._start_transaction_under_autocommit = partial(_begun, connection, begin)  # noqa: SLF001 - as above
    connection._set_autocommit = partial(_switched, connection, connection._set_autocommit)  # noqa: SLF001 - as above


def _begun(connection: BaseDatabaseWrapper, begin: Callable[[], None]) -> None:
    begin()
    connection.__dict__.pop("_cachekit_by_hand", None)


def _committed(connection: BaseDatabaseWrapper, commit: Callable[[], Result]) -> Result:
    told = (*dict.fromkeys((*_pending(connection), *notices.heard(connection).tags)),)
    done = committing(connection, told, commit) if told else commit()
    drop(connection)
    return done


def _switched(connection: BaseDatabaseWrapper, switch: Callable[[bool], None], autocommit: bool) -> None:
    switch(autocommit)
    if autocommit:  # some databases commit then
        settle(connection)


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
            connection.__dict__["_cachekit_isolated"] = ""


def _pending(connection: BaseDatabaseWrapper) -> dict[str, None]:
    pending: dict[str, None] = connection.__dict__.setdefault("_cachekit_pending", {})
    return pending


def _note_here(pending: dict[str, None]) -> None:
    here = _here.get()
    if not any(one is pending for one in here):
        _here.set((*(one for one in here if one), pending))


def _dirty() -> dict[str, dict[str, None]]:
    if not hasattr(_local, "dirty"):
        _local.dirty = {}
    found: dict[str, dict[str, None]] = _local.dirty
    return found


def _also_on_commit(connection: Any, using: str) -> None:
    """Settle on on_commit too inside test cases: they never commit, but run its handlers (captureOnCommitCallbacks).

    After each write, since nobody can tell from which moment on they will be run.
    """
    blocks = connection.atomic_blocks
    if blocks and blocks[0]._from_testcase:  # noqa: SLF001 - Django's own mark, as `durable` uses it
        transaction.on_commit(partial(settle, connection), using=using)
