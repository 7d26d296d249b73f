"""Say which tables a text of SQL reads and writes; sqlglot takes it apart."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from cachekit.exceptions import MissingExtra

LONGEST = 100_000
"""Longer texts (characters) are not taken apart: a megabyte of VALUES would take a second."""
LONGEST_KEPT = 10_000
"""Longer texts are taken apart each time, for what is remembered must have a bound."""
READS = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN", "DECLARE"})
_NEITHER = (
    "ABORT ANALYZE ATTACH BEGIN CHECKPOINT CLOSE CLUSTER COMMENT COMMIT DEALLOCATE DESCRIBE DETACH DISCARD END FETCH"
    " GRANT LISTEN LOCK MOVE NOTIFY PRAGMA REINDEX RELEASE RESET REVOKE ROLLBACK SAVEPOINT SET SHOW START UNLISTEN"
    " UNLOCK USE VACUUM"
)
NEITHER = frozenset(_NEITHER.split())
"""First words of statements that change no rows and answer with none that a cache would keep."""
DIALECTS = {"postgresql": "postgres", "sqlite": "sqlite", "mysql": "mysql", "oracle": "oracle", "microsoft": "tsql"}

_VERB = re.compile(r"(?:\s+|--[^\n]*\n|/\*.*?\*/|\()*([A-Za-z]+)", re.DOTALL)
_PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[sbt]\b")
_CALL = re.compile(r"([A-Za-z_]\w*)\"?\s*\(")
_HIDES_WRITE = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE|INTO)\b|;\s*\S", re.IGNORECASE)
_RESPELT = (
    (re.compile(r"^\s*REPLACE\b", re.IGNORECASE), "INSERT"),
    (re.compile(r"^\s*UPDATE\s+OR\s+[A-Z]+\b", re.IGNORECASE), "UPDATE"),
    (re.compile(r"^\s*DECLARE\b.*?\bCURSOR\b.*?\bFOR\b", re.IGNORECASE | re.DOTALL), ""),
    (re.compile(r"^\s*EXPLAIN\s*(\([^)]*\)|(?:\s*\b(?:ANALYZE|VERBOSE|QUERY\s+PLAN)\b)*)", re.IGNORECASE), ""),
)
"""What the parser does not know, as something that touches the same tables."""
_REFRESH = re.compile(
    r"^\s*REFRESH\s+MATERIALIZED\s+VIEW\s+(?:CONCURRENTLY\s+)?(.+?)(?:\s+WITH\b.*)?;?\s*$", re.IGNORECASE | re.DOTALL
)
_CHANGES_BY_ITSELF = ("Current", "Local", "Rand", "Session", "Sys", "Uuid", "Unix", "Utc")
_MOMENTS = frozenset({"now", "today", "tomorrow", "yesterday"})
_ROWLESS = frozenset({"INDEX", "SEQUENCE", "FUNCTION", "PROCEDURE", "TYPE", "DOMAIN", "EXTENSION", "SCHEMA", "ROLE"})
_OTHER = "Alter Analyze Comment Copy Drop Grant Merge Revoke TruncateTable Values"
"""Statements that the parser counts neither among queries nor among DML and DDL."""


class Table(NamedTuple):
    """A table as a statement names it."""

    name: str
    schema: str = ""
    quoted: bool = False


class Statement(NamedTuple):
    """The tables that a text writes and reads."""

    writes: frozenset[Table] = frozenset()
    reads: frozenset[Table] = frozenset()
    calls: frozenset[str] = frozenset()
    """Functions of which the parser knows nothing."""
    unreadable: str = ""
    """Why these are not all the tables."""
    writes_anything: bool = False
    volatile: str = ""
    """Why the same question may be answered differently, though no row has changed."""
    locks: bool = False


class Shape(NamedTuple):
    """What shows without taking a text apart."""

    verb: str
    """The first word, in capitals."""
    hides_write: bool
    """Whether it may write, however it begins: WITH … DELETE, SELECT INTO, several statements."""
    calls: frozenset[str]
    """All words before a parenthesis, in lower case: among them are the functions."""

    @property
    def may_write(self) -> bool:
        """Tell whether it is no plain read, functions aside."""
        return self.hides_write or not (self.verb in READS or self.verb in NEITHER)


def shape(sql: str) -> Shape:
    """Look at a text, in a fifth of a microsecond where it has been seen before."""
    return _shape(sql) if len(sql) <= LONGEST_KEPT else _shape.__wrapped__(sql)


@lru_cache(maxsize=4096)
def _shape(sql: str) -> Shape:
    found = _VERB.match(sql)
    calls = frozenset(word.lower() for word in _CALL.findall(sql))
    return Shape(found[1].upper() if found else "", bool(_HIDES_WRITE.search(sql, found.end() if found else 0)), calls)


def tables_of(sql: str, vendor: str) -> Statement:
    """Take a text apart, which may be several statements."""
    if len(sql) > LONGEST:
        return Statement(unreadable="its SQL is too long", writes_anything=shape(sql).may_write)
    return _tables_of(sql, vendor) if len(sql) <= LONGEST_KEPT else _tables_of.__wrapped__(sql, vendor)


@lru_cache(maxsize=2048)
def _tables_of(sql: str, vendor: str) -> Statement:
    try:
        return _joined(map(_statement, _parsed(sql, vendor)))
    except MissingExtra as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - whatever a parser raises, the text is not understood
        reason = "its SQL cannot be read ({})".format(str(error).partition("\n")[0])
    return Statement(unreadable=reason, writes_anything=shape(sql).may_write)


def _parsed(sql: str, vendor: str) -> Iterator[Any]:
    try:
        import sqlglot  # noqa: PLC0415 - it takes 90 ms, and most projects send no SQL of their own
        from sqlglot.errors import ErrorLevel  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra.of("sql") from error
    logging.getLogger("sqlglot").addFilter(_quiet)
    text = _PLACEHOLDER.sub("NULL", sql).replace("%%", "%")
    if view := _REFRESH.match(text):
        text = f"TRUNCATE {view[1]}"
    for pattern, instead in _RESPELT:
        text = pattern.sub(instead, text)
    for one in sqlglot.parse(text, dialect=DIALECTS.get(vendor), error_level=ErrorLevel.RAISE):
        if one is not None:
            yield one


def _quiet(record: logging.LogRecord) -> bool:
    """Leave out what the parser says of statements that it does not know: they are told as unreadable."""
    return "contains unsupported syntax" not in str(record.msg)


def _joined(statements: Iterable[Statement]) -> Statement:
    every = list(statements)
    return Statement(
        frozenset().union(*(one.writes for one in every)),
        frozenset().union(*(one.reads for one in every)),
        frozenset().union(*(one.calls for one in every)),
        next((one.unreadable for one in every if one.unreadable), ""),
        any(one.writes_anything for one in every),
        next((one.volatile for one in every if one.volatile), ""),
        any(one.locks for one in every),
    )


def _statement(tree: Any) -> Statement:
    from sqlglot import expressions as exp  # noqa: PLC0415 - as above

    if isinstance(tree, exp.Command):
        word = str(tree.this).upper()
        return Statement() if word in NEITHER else Statement(unreadable=f"{word} may do anything", writes_anything=True)
    if isinstance(tree, (exp.Transaction, exp.Commit, exp.Rollback, exp.Set, exp.Pragma, exp.Use, exp.Describe)):
        return Statement()
    if not isinstance(tree, (exp.Query, exp.DML, exp.DDL)) and type(tree).__name__ not in _OTHER.split():
        return Statement(unreadable="it is no statement", writes_anything=True)
    named = {one.alias_or_name for one in tree.find_all(exp.CTE)}
    reads = {_table(one) for one in tree.find_all(exp.Table) if isinstance(one.this, exp.Identifier)}
    writes = {_table(one) for target in _targets(tree) for one in target}
    functions = list(tree.find_all(exp.Anonymous))
    cascades = isinstance(tree, (exp.TruncateTable, exp.Drop)) and _cascades(tree)
    return Statement(
        frozenset(one for one in writes if one.name),
        frozenset(one if one.name not in named or one.schema else one._replace(schema=CTE) for one in reads),
        frozenset(one.name.lower() for one in functions),
        "it cascades to other tables" if cascades else "",
        cascades,
        _changes_by_itself(tree),
        next(tree.find_all(exp.Lock), None) is not None,
    )


CTE = "with"
"""In place of a schema: a name that WITH has given, unless there is a table of this name (it may be read inside)."""


def _targets(tree: Any) -> Iterator[Iterable[Any]]:
    """Yield the tables of each part of a statement that changes rows or tables."""
    from sqlglot import expressions as exp  # noqa: PLC0415 - as above

    for one in tree.walk():
        kind = one.args.get("kind")
        if isinstance(one, (exp.Insert, exp.Merge)) or (isinstance(one, exp.Copy) and kind):
            yield _inside(one.this)
        elif isinstance(one, (exp.Update, exp.Delete)):
            yield from (_inside(part) for part in (one.this, *(one.args.get("tables") or ())))
        elif isinstance(one, exp.TruncateTable):
            yield one.expressions
        elif isinstance(one, exp.Into) or (isinstance(one, exp.Alter) and kind not in _ROWLESS):
            yield one.find_all(exp.Table)
        elif isinstance(one, exp.Drop) and kind not in _ROWLESS:
            yield one.args.get("tables") or _inside(one.this)
        elif isinstance(one, exp.Create) and kind == "VIEW":
            yield _inside(one.this)


def _inside(part: Any) -> Iterator[Any]:
    """Yield the target's own tables: itself, and those joined to it in MySQL's UPDATE and DELETE."""
    from sqlglot import expressions as exp  # noqa: PLC0415 - as above

    if part is not None:
        yield from part.find_all(exp.Table)


def _cascades(tree: Any) -> bool:
    return tree.args.get("option") == "CASCADE" or bool(tree.args.get("cascade"))


def _table(one: Any) -> Table:
    return Table(one.name, one.db, bool(getattr(one.this, "quoted", False)))


def _changes_by_itself(tree: Any) -> str:
    from sqlglot import expressions as exp  # noqa: PLC0415 - as above

    for one in tree.find_all(exp.Func, exp.Literal):
        if isinstance(one, exp.Func) and type(one).__name__.startswith(_CHANGES_BY_ITSELF):
            return f"{type(one).__name__}() answers differently each time"
        if isinstance(one, exp.Literal) and one.is_string and one.this.lower() in _MOMENTS:
            return f"'{one.this}' means something else each time"
    return ""
