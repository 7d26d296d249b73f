"""Ask the database what its functions may do: write rows, or give the same answer while no row changes."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from cachekit.orm.sqltext import LONGEST_KEPT, shape

MOST = 4096
KEPT_SECONDS = 60
"""So long a process believes what it was told: a migration that another runs may put a write into a function."""


class Routine(NamedTuple):
    """What a function may do."""

    writes: bool = False
    pure: bool = False
    """Its answer hangs on nothing but its arguments."""


UNKNOWN = Routine()

_SQLITE = (
    "char concat concat_ws format glob group_concat hex ifnull iif instr json_array_length json_each json_group_array"
    " json_group_object json_patch json_quote json_remove json_set json_tree json_type json_valid jsonb like likely"
    " octet_length printf quote regexp soundex string_agg total typeof unhex unicode unlikely zeroblob"
)
SQLITE_PURE = frozenset(_SQLITE.split())
_POSTGRESQL = r"""
SELECT p.proname,
       array_agg((SELECT CASE WHEN l.lanname IN ('sql', 'plpgsql') THEN p.prosrc ELSE '' END
                  FROM pg_language l WHERE l.oid = p.prolang))
           FILTER (WHERE p.provolatile = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND NOT EXISTS (
               SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')),
       bool_and(p.provolatile = 'i' OR p.provolatile = 's' AND n.nspname = 'pg_catalog' AND p.proname !~
           '^(pg_|txid_|has_|inet_|current|now|age|version|statement_timestamp|transaction_timestamp|lastval)|_to_xml')
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proname = ANY(%s) GROUP BY 1
"""
"""What stands in pg_catalog or belongs to an extension writes to no table of a project. Of the other volatile ones, as
all are that do not say otherwise, the source tells."""
_WRITES = re.compile(
    r"\b(?:ALTER|CALL|COPY|CREATE|DELETE|DO|DROP|EXECUTE|IMPORT|INSERT|MERGE|REFRESH|TRUNCATE|UPDATE)\b", re.IGNORECASE
)
_MYSQL = """
SELECT LOWER(routine_name), '', 0 FROM information_schema.routines
WHERE routine_schema = DATABASE() AND LOWER(routine_name) IN %s
"""
_ASKING = {"postgresql": _POSTGRESQL, "mysql": _MYSQL}

_known: dict[tuple[str, str], Routine] = {}
_harmless: set[tuple[str, Collection[str]]] = set()
"""Sets of words among which none is a function that writes."""
_until = 0.0


def writes(connection: BaseDatabaseWrapper, names: frozenset[str]) -> bool:
    """Tell whether one of these words is a function that may write; words that are no functions may be among them."""
    global _until  # noqa: PLW0603 - one memory a process
    if (now := time.monotonic()) > _until:
        forget()
        _until = now + KEPT_SECONDS
    if not names or (connection.alias, names) in _harmless or connection.vendor not in _ASKING:
        return False
    if connection.needs_rollback:
        return False  # nothing can be asked, nor done
    if any(one.writes for one in _routines(connection, names).values()):
        return True
    if len(_harmless) > MOST:
        _harmless.clear()
    _harmless.add((connection.alias, names))
    return False


def called_by(connection: BaseDatabaseWrapper, sql: str) -> bool:
    """Tell whether a statement that Django has compiled calls a function that may write; long ones are not read."""
    return connection.vendor in _ASKING and len(sql) <= LONGEST_KEPT and writes(connection, shape(sql).calls)


def impure(connection: BaseDatabaseWrapper, names: Collection[str]) -> Iterable[str]:
    """Return those whose answer may hang on more than their arguments."""
    if connection.vendor == "sqlite":
        return [name for name in names if name not in SQLITE_PURE and not name.startswith("django_")]
    found = _routines(connection, names)
    return [name for name in names if not found[name].pure]


def forget() -> None:
    """Ask again: a function was made or changed."""
    _known.clear()
    _harmless.clear()


def _routines(connection: BaseDatabaseWrapper, names: Collection[str]) -> Mapping[str, Routine]:
    new = [name for name in names if (connection.alias, name) not in _known]
    if new and connection.vendor in _ASKING:
        _known.update({(connection.alias, name): UNKNOWN for name in new} | _asked(connection, new))
    return {name: _known.get((connection.alias, name), UNKNOWN) for name in names}


def _asked(connection: Any, names: list[str]) -> dict[tuple[str, str], Routine]:
    rows = _rows(connection, names)
    calls = {one for _, sources, _ in rows for source in sources or () for one in shape(source).calls}
    volatile = {name for name, sources, _ in _rows(connection, sorted(calls)) if sources} if calls else set()
    return {
        (connection.alias, name): Routine(any(_may_write(one, volatile) for one in sources or ()), bool(pure))
        for name, sources, pure in rows
    }


def _rows(connection: Any, names: list[str]) -> list[Any]:
    """Ask past Django's cursor: the project's query counts are its own affair."""
    postgresql = connection.vendor == "postgresql"
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute(_ASKING[connection.vendor], [names if postgresql else tuple(names)])
        rows: list[Any] = cursor.fetchall()
    return rows if postgresql else [(name, [source], pure) for name, source, pure in rows]


def _may_write(source: str, volatile: Collection[str]) -> bool:
    """Tell whether a function may write by its source, or by calling another volatile one; nothing is known without."""
    return not source or bool(_WRITES.search(source)) or not shape(source).calls.isdisjoint(volatile)
