"""Ask the database what a table without a model is: a plain one has a family of its own."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any
from urllib.parse import quote

from django.db.backends.base.base import BaseDatabaseWrapper

from cachekit.core.keys import fingerprint
from cachekit.databases import primary_of
from cachekit.orm.sqltext import Table

KEPT_SECONDS = 60
"""So long an answer is believed: another process may put a view or a cascade in a table's place."""
LONGEST = 150

_POSTGRESQL = """
SELECT bool_and(c.relkind = 'r' AND c.relpersistence <> 't'
  AND NOT (c.relispartition OR c.relhassubclass OR c.relhasrules)
  AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
  AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
  AND NOT EXISTS (SELECT FROM pg_constraint f WHERE f.confrelid = c.oid AND f.contype = 'f'
                  AND (f.confdeltype NOT IN ('a', 'r') OR f.confupdtype NOT IN ('a', 'r'))))
FROM pg_class c WHERE c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
"""All of this name are looked at, in whatever schema: nobody knows the search path of the next statement."""
_SQLITE = """
SELECT count(*) = 1 FROM main.sqlite_master m
WHERE m.type = 'table' AND lower(m.name) = ? AND upper(m.sql) NOT LIKE 'CREATE VIRTUAL %'
  AND NOT EXISTS (SELECT 1 FROM main.sqlite_master t WHERE t.type = 'trigger' AND lower(t.tbl_name) = lower(m.name))
  AND NOT EXISTS (SELECT 1 FROM temp.sqlite_master t WHERE lower(t.tbl_name) = lower(m.name))
  AND NOT EXISTS (SELECT 1 FROM main.sqlite_master o, pragma_foreign_key_list(o.name) f
                  WHERE o.type = 'table' AND lower(f."table") = lower(m.name)
                    AND (f.on_delete NOT IN ('NO ACTION', 'RESTRICT') OR f.on_update NOT IN ('NO ACTION', 'RESTRICT')))
"""
_ASKING = {"postgresql": _POSTGRESQL, "sqlite": _SQLITE}

_known: dict[tuple[str, str], tuple[float, bool]] = {}


def family_of(table: Table, connection: BaseDatabaseWrapper) -> str | None:
    """Return the tag of a table that no model has; None if a write to it may write to others, or a read read others.

    So it is with views, partitions, and tables with triggers or with keys of others that cascade; and with databases
    other than PostgreSQL and SQLite, which are not asked.
    """
    name = table.name if table.quoted and connection.vendor == "postgresql" else table.name.lower()
    until, plain = _known.get((connection.alias, name), (0.0, False))
    if time.monotonic() > until:
        if len(_known) > 1000:
            _known.clear()
        plain = _is_plain(name, connection)
        _known[connection.alias, name] = time.monotonic() + KEPT_SECONDS, plain
    return _tag(name, connection.alias) if plain else None


def forget() -> None:
    """Ask again: a table was made or changed."""
    _known.clear()


def _is_plain(name: str, connection: Any) -> bool:
    """Ask past Django's cursor: the project's query counts are its own affair."""
    if connection.vendor not in _ASKING:
        return False
    connection.ensure_connection()
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        cursor.execute(_ASKING[connection.vendor], [name])
        return bool(cursor.fetchone()[0])


def _tag(name: str, using: str) -> str:
    using = primary_of(using)
    text = quote(name, safe="")
    text = text if len(text) <= LONGEST else f"{text[:50]}~{fingerprint(name)}"
    return f"table:{text}" if using == "default" else f"table:{text}@{using}"
