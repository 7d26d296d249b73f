"""Ask the database what its functions may do: write rows, or give the same answer while no row changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper


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
       bool_or(p.provolatile = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND NOT EXISTS (
           SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')),
       bool_and(p.provolatile = 'i' OR p.provolatile = 's' AND n.nspname = 'pg_catalog' AND p.proname !~
           '^(pg_|txid_|has_|inet_|current|now|age|version|statement_timestamp|transaction_timestamp|lastval)|_to_xml')
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proname = ANY(%s) GROUP BY 1
"""
"""What stands in pg_catalog or belongs to an extension writes to no table of a project."""
_MYSQL = """
SELECT LOWER(routine_name), 1, 0 FROM information_schema.routines
WHERE routine_schema = DATABASE() AND LOWER(routine_name) IN %s
"""
_ASKING = {"postgresql": _POSTGRESQL, "mysql": _MYSQL}

_known: dict[tuple[str, str], Routine] = {}


def writes(connection: BaseDatabaseWrapper, names: Collection[str]) -> bool:
    """Tell whether one of these words is a function that may write; words that are no functions may be among them."""
    if connection.vendor not in _ASKING or not names:
        return False
    return any(one.writes for one in _routines(connection, names).values())


def impure(connection: BaseDatabaseWrapper, names: Collection[str]) -> Iterable[str]:
    """Return those whose answer may hang on more than their arguments."""
    if connection.vendor == "sqlite":
        return [name for name in names if name not in SQLITE_PURE and not name.startswith("django_")]
    found = _routines(connection, names)
    return [name for name in names if not found[name].pure]


def forget() -> None:
    """Ask again: a function was made or changed."""
    _known.clear()


def _routines(connection: BaseDatabaseWrapper, names: Collection[str]) -> Mapping[str, Routine]:
    new = [name for name in names if (connection.alias, name) not in _known]
    if new and connection.vendor in _ASKING:
        _known.update({(connection.alias, name): UNKNOWN for name in new} | _asked(connection, new))
    return {name: _known.get((connection.alias, name), UNKNOWN) for name in names}


def _asked(connection: Any, names: list[str]) -> dict[tuple[str, str], Routine]:
    """Ask past Django's cursor: the project's query counts are its own affair."""
    listed: Any = names if connection.vendor == "postgresql" else tuple(names)
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute(_ASKING[connection.vendor], [listed])
        rows = cursor.fetchall()
    return {(connection.alias, name): Routine(bool(changes), bool(pure)) for name, changes, pure in rows}
