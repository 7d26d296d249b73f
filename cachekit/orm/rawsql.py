"""Statements that go through Django's cursor past its compilers: their writes invalidate, their reads are captured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial, wraps
from typing import Any

from django.db import IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from cachekit import registry, tenants
from cachekit.core.capture import Capture, current
from cachekit.invalidation import invalidate_tags
from cachekit.orm import ongoing, routines, snapshots, tables, transactions
from cachekit.orm.reading import LOCKS, SAY_VOLATILE
from cachekit.orm.sqltext import CTE, NEITHER, READS, Shape, Statement, Table, shape, tables_of

MAKES = ("CREATE", "ALTER", "DROP")
PLAIN_SCHEMAS = ("", CTE, "public", "main", "dbo")


def install() -> None:
    """Watch what `execute_wrappers` do not see: stored procedures, COPY and scripts."""
    if hasattr(CursorWrapper.callproc, "__wrapped__"):
        return
    CursorWrapper.callproc = _calling(CursorWrapper.callproc)  # type: ignore[method-assign]
    CursorWrapper.copy = property(_copy)  # type: ignore[attr-defined]
    for name in ("copy_expert", "executescript", "stream"):
        setattr(CursorWrapper, name, property(partial(_passed, name)))


def carried_out(connection: Any, sql: Any, execute: Callable[[], Any], *, many: bool = False) -> Any:
    """Carry out a statement; say what a cached block reads by it, and invalidate what it writes."""
    text = sql if isinstance(sql, str) else _text(sql, connection)
    seen = shape(text)
    capture = current.get()
    if capture is None and seen.verb in READS and not _may_write(connection, seen):
        return execute()
    if seen.verb in NEITHER and not seen.hides_write:
        return transactions.by_hand(connection, text, seen.verb, execute)
    found = tables_of(text, connection.vendor)
    if capture is not None:
        _capture(connection, found, capture)
    told = _written(connection, seen, found)
    try:
        return transactions.statement(connection, told, execute) if told else execute()
    except IntegrityError:
        if told and (many or seen.hides_write):  # refused, but what came before it may stand
            invalidate_tags(told, why="write", by=connection.alias)
        raise
    finally:
        if seen.verb in MAKES:
            routines.forget()
            tables.forget()


def _text(sql: Any, connection: Any) -> str:
    """Return what a driver takes for SQL (psycopg's `sql.Composed`, bytes) as text."""
    if hasattr(sql, "as_string"):
        return str(sql.as_string(connection.connection))
    return sql.decode("utf-8", "replace") if isinstance(sql, bytes) else str(sql)


def _may_write(connection: BaseDatabaseWrapper, seen: Shape) -> bool:
    return seen.hides_write or routines.writes(connection, seen.calls)


def _written(connection: BaseDatabaseWrapper, seen: Shape, found: Statement) -> list[str]:
    """Return the tags of whole tables, or of the database where they cannot be named."""
    told: set[str] = set()
    unknown = found.writes_anything or routines.writes(connection, seen.calls)
    for one in () if unknown else found.writes:
        targets = _told(one, connection)
        unknown = unknown or targets is None
        told.update(targets or ())
    return [registry.database_of(connection.alias)] if unknown else sorted(told)


def _told(one: Table, connection: BaseDatabaseWrapper) -> Iterable[str] | None:
    """Return the tags of a write to a table, None if it may write to others."""
    for name in _spellings(one, connection):
        if (targets := registry.targets_of_table(name, connection.alias)) is not None:
            return targets
    for name in _spellings(one._replace(schema=""), connection):  # in a schema that may be a tenant's
        with tenants.tenant(None):
            if (targets := registry.targets_of_table(name, connection.alias)) is not None:
                return targets
    family = tables.family_of(one, connection)
    return None if family is None else (family,)


def _capture(connection: BaseDatabaseWrapper, found: Statement, capture: Capture) -> None:
    snapshots.date(capture, connection)
    families = {one: _families(one, connection) for one in found.reads}
    capture.depend(*{family for some in families.values() for family in some})
    if found.locks:
        capture.spoil(LOCKS)
    if found.volatile and not capture.volatile:
        capture.spoil(f"{found.volatile}; {SAY_VOLATILE}")
    if not capture.names_tags and (reason := _obstacle(connection, found, families)):
        capture.spoil(f"{reason}; name its tags")


def _obstacle(connection: BaseDatabaseWrapper, found: Statement, families: dict[Table, tuple[str, ...]]) -> str:
    if found.unreadable:
        return found.unreadable
    if found.writes or found.writes_anything:
        return "it writes by raw SQL"
    for one, some in families.items():
        if not some and one.schema != CTE:
            return f"nobody knows what '{one.name}' is made of: it has no model and is no plain table"
    for name in routines.impure(connection, found.calls):
        return f"function {name}() may read anything"
    return ""


def _families(one: Table, connection: BaseDatabaseWrapper) -> tuple[str, ...]:
    """Return what a read of a table depends on; nothing where that cannot be told."""
    for name in _spellings(one, connection):
        if model := registry.model_of_table(name):
            found = (registry.family_of(model, connection.alias), *registry.sources_of(model, connection.alias))
            return () if registry.is_own(model) else found
    names = _spellings(one._replace(schema=""), connection)
    if one.schema == CTE or any(registry.model_of_table(name) for name in names):
        return ()
    family = tables.family_of(one, connection)
    return () if family is None else (family,)


def _spellings(one: Table, connection: BaseDatabaseWrapper) -> Iterable[str]:
    """Return the names under which a model may know a table."""
    names = [one.name] if one.quoted else [one.name.lower()]
    if connection.vendor != "postgresql":
        names = [one.name, one.name.lower(), one.name.upper()]
    schema = one.schema
    if schema.lower() in PLAIN_SCHEMAS or schema == connection.settings_dict.get("NAME"):
        return names
    return [f'{schema}"."{name}' for name in names] + [f'"{schema}"."{name}"' for name in names]


def _calling(callproc: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(callproc)
    def called(self: CursorWrapper, *args: Any, **kwargs: Any) -> Any:
        return carried_out(self.db, "CALL", lambda: callproc(self, *args, **kwargs))

    return called


def _copy(self: CursorWrapper) -> Callable[..., AbstractContextManager[Any]]:
    copy = self.cursor.copy  # AttributeError where the driver has none

    @wraps(copy)
    def copying(statement: Any, *args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
        return _copied(self.db, statement, lambda: copy(statement, *args, **kwargs))

    return copying


@contextmanager
def _copied(connection: Any, statement: Any, copy: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
    """Carry out a COPY, which commits where its block ends."""
    alone = ongoing.commits_by_itself(connection)
    with transaction.atomic(using=connection.alias) if alone else nullcontext():
        carried_out(connection, statement, lambda: None)
        with copy() as copied:
            yield copied


def _passed(name: str, self: CursorWrapper) -> Callable[..., Any]:
    method = getattr(self.cursor, name)

    @wraps(method)
    def passed(sql: Any, *args: Any, **kwargs: Any) -> Any:
        return carried_out(self.db, sql, lambda: method(sql, *args, **kwargs))

    return passed
