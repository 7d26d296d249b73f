"""Keep the tags of what a transaction writes until it commits, then invalidate them, before any on_commit handler."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

from django.db import IntegrityError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from cachekit.invalidation import invalidate_tags

_local = threading.local()


def collect(using: str, tags: Iterable[str]) -> None:
    """Note what has been written: invalidated at commit, or at once where every statement commits by itself."""
    connection = connections[using]
    if not connection.in_atomic_block and connection.get_autocommit():
        invalidate_tags(tags, why="write", by=using)
        return
    pending = _pending(connection)
    anew = not pending
    pending.update(dict.fromkeys(tags))
    _dirty()[using] = pending
    _also_on_commit(connection, using, anew=anew)


def dirty_tags() -> Collection[str]:
    """Return what the open transactions of this thread have written."""
    dirty = getattr(_local, "dirty", None)
    if not dirty:
        return ()
    return {tag for pending in dirty.values() for tag in pending}


def settle(connection: BaseDatabaseWrapper) -> None:
    """Invalidate what has been collected on a connection."""
    told = tuple(_pending(connection))
    drop(connection)
    if told:
        invalidate_tags(told, why="write", by=connection.alias)


def drop(connection: BaseDatabaseWrapper) -> None:
    """Forget what has been collected: it was rolled back, or is being told."""
    _pending(connection).clear()
    _dirty().pop(connection.alias, None)


def snapshot_hazard(connection: BaseDatabaseWrapper) -> str:
    """Tell why others must not see what the open transaction reads, or why it may be older than now; or nothing."""
    if _pending(connection):  # asked of the connection: an awaited reader runs on another thread than its ORM
        return "its transaction has written"
    if not connection.in_atomic_block and connection.get_autocommit():
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


def _committed(connection: BaseDatabaseWrapper, commit: Callable[[], None]) -> None:
    try:
        commit()
    except IntegrityError:
        raise  # refused: nothing was written
    except Exception:
        settle(connection)  # no answer: it may have been written all the same
        raise
    settle(connection)


def _rolled_back(connection: BaseDatabaseWrapper, rollback: Callable[[], None]) -> None:
    try:
        rollback()
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


def _also_on_commit(connection: Any, using: str, *, anew: bool) -> None:
    """Settle on on_commit too: test cases never commit, but can run its handlers (captureOnCommitCallbacks).

    A test case that ran them leaves them in the list, so the first write after a settling registers `anew`.
    """
    if not connection.in_atomic_block:
        return  # manual mode knows no on_commit
    last = connection.run_on_commit[-1] if connection.run_on_commit else None
    if anew or last is None or last[1] is not _settle_on_commit[using] or last[0] != set(connection.savepoint_ids):
        transaction.on_commit(_settle_on_commit[using], using=using)


class _Handlers(dict[str, Callable[[], None]]):
    """One handler a database, so that two can be told to be the same."""

    def __missing__(self, using: str) -> Callable[[], None]:
        self[using] = lambda: settle(connections[using])
        return self[using]


_settle_on_commit = _Handlers()
