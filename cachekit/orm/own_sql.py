"""SQL that a project's own expressions and lookups write: compiled alone, and read like raw SQL."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models import Func
from django.db.models.sql.compiler import SQLCompiler

from cachekit.core.capture import capturing
from cachekit.orm import routines
from cachekit.orm.sqltext import tables_of

_TEXTS = ("function", "template")
"""What may be given to a function of Django's, so that it writes SQL of the project's."""


class Seen(NamedTuple):
    """What a piece of SQL does beside computing with its arguments."""

    unknown: str = ""
    volatile: str = ""
    holds_sql: bool = False
    """Whether it reads tables, or cannot be read by itself."""


HARMLESS, WHOLE = Seen(), Seen(holds_sql=True)


def is_own(expression: Any) -> bool:
    """Tell whether an expression or a lookup writes SQL that is not Django's."""
    kind = type(expression)
    if not hasattr(kind, "as_sql"):
        return False
    if not kind.__module__.startswith("django."):
        return True
    return isinstance(expression, Func) and (kind is Func or not expression.extra.keys().isdisjoint(_TEXTS))


def seen(compiler: SQLCompiler, expression: Any) -> Seen:
    """Compile it alone and read what it says."""
    connection = compiler.connection
    with capturing(None):  # what its subqueries depend on is said when they are compiled in their place
        sql = _text(compiler, expression)
    if not sql:
        return WHOLE
    found = tables_of(f"SELECT {sql}", connection.vendor)
    if found.unreadable or found.reads or found.writes or found.writes_anything:
        return WHOLE
    for name in routines.impure(connection, found.calls):
        return Seen(f"function {name}() may read anything", found.volatile)
    return Seen("", found.volatile)


def _text(compiler: SQLCompiler, expression: Any) -> str:
    """Return its SQL; nothing for what cannot be compiled without the statement around it."""
    try:
        return str(compiler.compile(expression)[0])
    except (EmptyResultSet, FullResultSet):
        return "NULL"
    except Exception:  # noqa: BLE001, S110 - orders are not resolved yet
        pass
    try:
        resolved = expression.resolve_expression(compiler.query.chain(), allow_joins=True, reuse=None)
        return str(compiler.compile(resolved)[0])
    except Exception:  # noqa: BLE001 - whatever it needs, it is not here
        return ""
