"""See every read and write of the ORM where Django compiles it to SQL (decisions.md: why here and not in signals)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from django.db import transaction
from django.db.backends.signals import connection_created
from django.db.models.sql.compiler import SQLCompiler, SQLDeleteCompiler, SQLInsertCompiler, SQLUpdateCompiler

from cachekit import registry
from cachekit.core.capture import Capture, current
from cachekit.orm import forward, notices, ongoing, opting, rawsql, replicas, routines, snapshots, transactions, writing
from cachekit.orm.reading import LOCKS, SAY_VOLATILE, reading_of
from cachekit.orm.statements import compiled, known


def install() -> None:
    """Wrap the compilers, once."""
    if hasattr(SQLCompiler.execute_sql, "__wrapped__"):
        return
    SQLCompiler.execute_sql = _executing(SQLCompiler.execute_sql)  # type: ignore[method-assign]
    SQLCompiler.get_from_clause = _reading(SQLCompiler.get_from_clause)  # type: ignore[method-assign]
    SQLInsertCompiler.execute_sql = _inserting(SQLInsertCompiler.execute_sql)  # type: ignore[method-assign]
    if returning := getattr(SQLUpdateCompiler, "execute_returning_sql", None):  # since Django 6.0
        SQLUpdateCompiler.execute_returning_sql = _returning(returning)  # type: ignore[method-assign]
    connection_created.connect(transactions.watch, dispatch_uid="cachekit.transactions")
    rawsql.install()
    replicas.install()
    opting.install()
    forward.install()
    connection_created.connect(_watch_cursors, dispatch_uid="cachekit.cursors")
    connection_created.connect(notices.listen, dispatch_uid="cachekit.notices")


def _executing(execute: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(execute)
    def execute_sql(self: SQLCompiler, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self, (SQLUpdateCompiler, SQLDeleteCompiler)):
            return _write(self, lambda: execute(self, *args, **kwargs))
        if self.query.select_for_update:
            ongoing.locking(self.connection)
        capture = current.get()
        if capture is None:
            rows = known(lambda: execute(self, *args, **kwargs))
            snapshots.fetching(self.connection, rows)
            return rows
        snapshots.date(capture, self.connection)
        return known(lambda: execute(self, *args, **kwargs))

    return execute_sql


def _reading(get_from_clause: Callable[..., Any]) -> Callable[..., Any]:
    """Each SELECT of a statement, subqueries too, passes here once, its joins counted."""

    @wraps(get_from_clause)
    def captured(self: SQLCompiler) -> Any:
        found = get_from_clause(self)
        capture = current.get()
        if capture is not None:
            _capture(self, capture)
        return found

    return captured


def _capture(compiler: SQLCompiler, capture: Capture) -> None:
    if compiler.query.select_for_update:
        capture.spoil(LOCKS)
    seen = reading_of(compiler)
    capture.depend(*seen.tags)
    if seen.holds_sql:
        compiled.set(False)  # until this statement is done: it is read as raw SQL, whole
    if seen.unknown and not capture.names_tags:
        capture.spoil(f"{seen.unknown}; name its tags")
    if seen.volatile and not capture.volatile:
        capture.spoil(f"{seen.volatile}; {SAY_VOLATILE}")


def _inserting(execute: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(execute)
    def execute_sql(self: SQLInsertCompiler, returning_fields: Any = None, **kwargs: Any) -> Any:
        if registry.is_own(self.query.get_meta().model):
            return known(lambda: execute(self, returning_fields, **kwargs))
        using = self.connection.alias
        with _one_transaction(self, always=True):  # the keys of new rows are known before the commit, but not before
            rows = known(lambda: execute(self, returning_fields, **kwargs))
            rows = rows if rows is None else list(rows)
            names = [field.attname for field in returning_fields or ()]
            transactions.collect(self.connection, writing.inserted(self.query, using, names, rows or ()))
        return rows

    return execute_sql


def _returning(execute: Callable[..., Any]) -> Callable[..., Any]:
    """How an UPDATE goes that brings back what the database computed."""

    @wraps(execute)
    def execute_returning_sql(self: SQLUpdateCompiler, returning_fields: Any) -> Any:
        if not returning_fields or not getattr(self.connection.features, "can_return_rows_from_update", False):
            return execute(self, returning_fields)  # by `execute_sql`
        return _write(self, lambda: execute(self, returning_fields))

    return execute_returning_sql


def _write(compiler: SQLUpdateCompiler | SQLDeleteCompiler, execute: Callable[[], Any]) -> Any:
    """Carry out an UPDATE or DELETE; what it touches is read first, in one transaction with it."""
    values = getattr(compiler.query, "values", None) if isinstance(compiler, SQLUpdateCompiler) else None
    if isinstance(compiler, SQLUpdateCompiler) and not values:
        return execute()  # only the parents' tables are written to, each by a statement of its own
    model = compiler.query.get_meta().model
    if registry.is_own(model):
        return known(execute)
    new = [(field, value) for field, _, value in values or ()]
    connection, using = compiler.connection, compiler.connection.alias
    with _one_transaction(compiler, always=bool(registry.indexes_of(model))):
        token = current.set(None)  # what a write looks up is no dependency of anything
        try:
            touched = writing.changed(compiler.query, using, new)
        finally:
            current.reset(token)

        def carried_out() -> Any:
            found = known(execute)
            count = len(found) if isinstance(found, list) else found
            if isinstance(count, int) and count > touched.rows:  # somebody's rows came in between
                transactions.also(connection, writing.whole(compiler.query, using))
            return found

        followers = writing.followed(model, using) if isinstance(compiler, SQLDeleteCompiler) else ()
        return transactions.statement(connection, touched.tags.union(followers), carried_out)


@contextmanager
def _one_transaction(compiler: SQLCompiler, *, always: bool) -> Iterator[None]:
    """Open a transaction around an autocommit write that is more than one statement, or whose rows show only after."""
    connection: Any = compiler.connection
    if not always or not ongoing.commits_by_itself(connection):
        yield
        return
    mode = getattr(connection, "transaction_mode", None)
    if connection.vendor == "sqlite":  # one that reads first and then writes would not wait for another's lock
        connection.transaction_mode = "IMMEDIATE"
    try:
        with transaction.atomic(using=connection.alias):
            yield
    finally:
        if connection.vendor == "sqlite":
            connection.transaction_mode = mode


def _watch_cursors(*, connection: Any, **_: object) -> None:
    if _raw not in connection.execute_wrappers:  # at the front: who else wraps takes theirs off the end
        connection.execute_wrappers.insert(0, _raw)


def _raw(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """See what the compilers have not seen."""
    if compiled.get():
        connection = context["connection"]
        if routines.called_by(connection, sql):
            told = [registry.database_of(connection.alias)]
            return transactions.statement(connection, told, lambda: execute(sql, params, many, context))
        return execute(sql, params, many, context)
    if "ISOLATION" in (text := str(sql).upper()):
        snapshots.isolated(context["connection"], text)
    if "FOR " in text and ("UPDATE" in text or "SHARE" in text):
        ongoing.locking(context["connection"])
    return rawsql.carried_out(context["connection"], sql, lambda: execute(sql, params, many, context), many=many)
