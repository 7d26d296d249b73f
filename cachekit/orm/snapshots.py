"""Tell reads of the present from reads of the past: snapshots that a transaction reads, replicas that lag."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from typing import Any
from weakref import WeakSet

from django.db.backends.base.base import BaseDatabaseWrapper

from cachekit import databases
from cachekit.core.capture import Capture
from cachekit.orm import ongoing


def date(capture: Capture, connection: BaseDatabaseWrapper) -> None:
    """Give a computation the read point that suits what it is about to read on a connection."""
    if reason := hazard(connection):
        capture.spoil(reason)
        return
    began, lag = taken(connection), databases.lag_of(connection.alias)
    if began is None and not lag:
        return
    capture.lags = capture.lags or bool(lag)
    what = f"'{connection.alias}' may lag" if began is None else f"a transaction on '{connection.alias}' has a snapshot"
    moment = time.monotonic() if began is None else began
    capture.date_back(moment - lag, f"{what}, and from before that no read point is known")


def hazard(connection: BaseDatabaseWrapper) -> str:
    """Tell why what is read on a connection is nobody else's affair, or of nobody knows when; or nothing."""
    transaction = ongoing.of(connection)
    if transaction is not None and transaction.tags:  # an awaited reader runs on another thread than its ORM
        return "its transaction has written"
    if ongoing.commits_by_itself(connection) and _unfinished(connection):
        return f"rows of '{connection.alias}' are still being fetched, from an older snapshot"
    return ""


def taken(connection: BaseDatabaseWrapper) -> float | None:
    """Return a moment (monotonic) before the snapshot that is read on a connection; None where it reads the latest."""
    if ongoing.commits_by_itself(connection) or sees_the_latest(connection):
        return None
    transaction = ongoing.of(connection)
    return -math.inf if transaction is None else transaction.began


def oldest() -> float | None:
    """Return a moment (monotonic) before the oldest snapshot that transactions open here read; None without any."""
    moments = [
        one.began - databases.lag_of(one.connection.alias)
        for one in ongoing.here()
        if one.connection is not None and not sees_the_latest(one.connection)
    ]
    return min(moments, default=None)


def apart() -> bool:
    """Tell whether an open transaction has written, has locked rows, or reads a snapshot."""
    opened = ongoing.here()
    return bool(opened) and (any(one.tags or one.locks for one in opened) or oldest() is not None)


def sees_the_latest(connection: Any) -> bool:
    """Tell whether each statement of the open transaction sees what has been committed before it."""
    if connection.vendor == "sqlite":  # it holds the write lock from its start, or has its database to itself
        if ongoing.is_begun_by_hand(connection):
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
