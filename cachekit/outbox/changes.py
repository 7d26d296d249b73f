"""What triggers write down: a table without key, sequence or index, which costs its writers least.

Its statements go past Django's cursor, where whatever is written would be looked through for what it invalidates.
"""

from __future__ import annotations

import datetime
from collections import Counter
from typing import Any

from django.db import connections

from cachekit.models import CHANGES as TABLE, Outbox
from cachekit.outbox.writing import has_table

WAITS = f"SELECT EXISTS (SELECT FROM {TABLE})"  # noqa: S608 - a constant
TAKE = (
    f"DELETE FROM {TABLE} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {TABLE} LIMIT %s))"  # noqa: S608 - a constant
    " RETURNING tags, written_at, transaction"
)
SWEEP = f"VACUUM (SKIP_LOCKED, TRUNCATE OFF) {TABLE}"
SWEEP_AFTER = 20_000
"""Rows taken after which the relay gives their room free: until then every look passes them, some 3 MB."""

_taken: Counter[str] = Counter()


def wait(using: str) -> bool:
    """Tell whether there are changes to be told."""
    return bool(_asked(using, WAITS)[0][0]) if _is_there(using) else False


def take(using: str, most: int) -> list[Outbox]:
    """Remove changes, in the transaction that is open, and return them as rows that the outbox does not hold yet."""
    rows = _asked(using, TAKE, [most]) if _is_there(using) else []
    _taken[using] += len(rows)
    return [Outbox(tags=tags, written_at=at, transaction=number) for tags, at, number in rows]


def sweep(using: str) -> None:
    """Give the room of what was taken free, where that was much; outside a transaction, and where one may."""
    connection = connections[using]
    if _taken[using] >= SWEEP_AFTER and not connection.in_atomic_block and connection.get_autocommit():
        _taken[using] = 0
        _run(using, SWEEP)


def places(using: str) -> set[str]:
    """Return where changes stand, which is what they can be known by until they are taken."""
    return {str(found) for (found,) in _asked(using, f"SELECT ctid::text FROM {TABLE}")} if _is_there(using) else set()  # noqa: S608 - a constant


def told(using: str, most: int) -> list[tuple[str, int | None]]:
    """Return the tags and transactions of changes."""
    found = f"SELECT tags, transaction FROM {TABLE} LIMIT %s"  # noqa: S608 - a constant
    return _asked(using, found, [most]) if _is_there(using) else []


def counted(using: str) -> tuple[int, datetime.datetime | None]:
    """Return how many changes there are, and since when the oldest."""
    if not _is_there(using):
        return 0, None
    rows, since = _asked(using, f"SELECT count(*), min(written_at) FROM {TABLE}")[0]  # noqa: S608 - a constant
    return rows, since


def _is_there(using: str) -> bool:
    return connections[using].vendor == "postgresql" and has_table(connections[using], TABLE)


def _asked(using: str, sql: str, parameters: list[Any] | None = None) -> list[Any]:
    return _run(using, sql, parameters, answers=True)


def _run(using: str, sql: str, parameters: list[Any] | None = None, *, answers: bool = False) -> list[Any]:
    connection: Any = connections[using]
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall()) if answers else []
