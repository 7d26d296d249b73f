"""Tell a COMMIT that changed nothing from one of which nobody knows."""

from __future__ import annotations

import sqlite3

from django.db import DatabaseError, IntegrityError

ROLLED_BACK = frozenset({"22", "23", "40", "42", "44", "55", "P0"})
"""Classes of SQLSTATE: bad data, a constraint, a conflict with another transaction, names and rights, a check option,
what is not ready, a deferred trigger's own error. PostgreSQL rolls back before it says so."""
CANCELLED = frozenset({"25P02", "57014"})
UNKNOWN = "40003"
LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CONSTRAINT})
"""SQLite has not written; the transaction is still open, and Django rolls it back."""


def is_refusal(error: Exception) -> bool:
    """Tell whether a COMMIT that ended with this error has surely changed nothing; one without a code says nothing."""
    if isinstance(error, IntegrityError):
        return True
    cause = error.__cause__
    if not isinstance(error, DatabaseError) or cause is None:
        return False
    state = str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or "")
    if state:
        return state in CANCELLED or (state[:2] in ROLLED_BACK and state != UNKNOWN)
    code = getattr(cause, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in LOCKED
