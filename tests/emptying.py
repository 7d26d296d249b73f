"""Empty the databases after a test that commits, at a fiftieth of the price of Django's `flush`.

That one truncates every table, then says that it has migrated, after which permissions are written, triggers refreshed
and, since it goes through Django's cursor, caches told: some 150 ms a test and database.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.test import TransactionTestCase

KEPT = frozenset({"django_content_type", "auth_permission"})
"""Tables that `migrate` fills and no test changes."""


def install() -> None:
    """Have Django's test cases, which pytest-django's fixtures are, end this way."""
    TransactionTestCase._fixture_teardown = _emptied  # type: ignore[attr-defined]


def _emptied(case: Any) -> None:
    for alias in case._databases_names(include_mirrors=False):
        empty(connections[alias])
    ContentType.objects.clear_cache()


def empty(connection: Any) -> None:
    """Delete all rows, past Django's cursor and past foreign keys, whose order is nobody's business here."""
    connection.ensure_connection()
    deletes = _deletes(connection.alias, frozenset(connection.introspection.table_names()))
    if connection.vendor == "sqlite":
        before, after = "PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE;", "COMMIT; PRAGMA foreign_keys = ON;"
        connection.connection.executescript(before + deletes + after)
    else:
        connection.connection.execute(f"BEGIN; SET LOCAL session_replication_role = replica; {deletes} COMMIT")


@cache
def _deletes(alias: str, tables: frozenset[str]) -> str:
    connection = connections[alias]
    models = set(connection.introspection.django_table_names(only_existing=False, include_views=False))
    quoted = [connection.ops.quote_name(table) for table in sorted(models & tables - KEPT)]
    return "".join(f"DELETE FROM {name};" for name in quoted)
