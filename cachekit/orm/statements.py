"""Fetch rows by primary key with the very SQL that Django compiles for it, compiled once for each connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import Model, QuerySet
from django.db.models.query import MAX_GET_RESULTS

from cachekit.core.capture import Capture, capturing, current
from cachekit.orm import snapshots

BATCH = 500
"""So many keys are asked for at once; SQLite takes 999."""
compiled: ContextVar[bool] = ContextVar("cachekit_compiling", default=False)
"""Whether the reads of the statement under way are captured where it was compiled."""


class Select(NamedTuple):
    """A SELECT of all columns of one row, and what makes Python values of them."""

    table: str
    sql: str
    """Nothing where a database asks for it in a way of its own."""
    converters: tuple[tuple[int, Sequence[Callable[..., Any]], Any], ...]


def known(execute: Callable[[], Any]) -> Any:
    """Carry out a statement whose reads are known already: its text need not be read."""
    token = compiled.set(True)
    try:
        return execute()
    finally:
        compiled.reset(token)


def fetch_row(model: Any, using: str, value: Any) -> tuple[Any, ...] | None:
    """Return the columns of the row with this primary key, None if there is none; the caller says its tags."""
    connection: Any = connections[using]
    capture: Capture | None = current.get()
    if capture is not None:
        snapshots.date(capture, connection)
    select = _select(model, connection, value)
    if not select.sql:
        every: Any = QuerySet(model, using=using).filter(pk=value).order_by()
        return next(iter(every.values_list(*(field.attname for field in model._meta.concrete_fields))[:1]), None)
    parameter = model._meta.pk.get_db_prep_value(value, connection, prepared=False)

    def execute() -> Any:
        with connection.cursor() as cursor:
            cursor.execute(select.sql, (parameter,))
            return cursor.fetchall()

    rows = known(execute)
    return _converted(select, rows[0], connection) if rows else None


def fetch_rows(model: Any, using: str, values: Sequence[Any]) -> dict[Any, tuple[Any, ...]]:
    """Return the columns of the rows with these primary keys, by key."""
    names = [field.attname for field in model._meta.concrete_fields]
    place = names.index(model._meta.pk.attname)
    found: dict[Any, tuple[Any, ...]] = {}
    for start in range(0, len(values), BATCH):
        some: Any = QuerySet(model, using=using).filter(pk__in=values[start : start + BATCH]).order_by()
        found.update((row[place], row) for row in some.values_list(*names))
    return found


def _converted(select: Select, row: Sequence[Any], connection: Any) -> tuple[Any, ...]:
    if not select.converters:
        return tuple(row)
    values = list(row)
    for at, converters, expression in select.converters:
        value = values[at]
        for convert in converters:
            value = convert(value, expression, connection)
        values[at] = value
    return tuple(values)


def _select(model: Any, connection: Any, probe: Any) -> Select:
    kept: dict[type[Model], Select] = connection.__dict__.setdefault("_cachekit_selects", {})
    found = kept.get(model)
    if found is None or found.table != model._meta.db_table:
        found = kept[model] = _compiled(model, connection, probe)
    return found


def _compiled(model: Any, connection: Any, probe: Any) -> Select:
    query = QuerySet(model, using=connection.alias).filter(pk=probe).order_by().query
    query.set_limits(high=MAX_GET_RESULTS)
    compiler = query.get_compiler(connection=connection)
    with capturing(None):
        sql, parameters = compiler.as_sql()
    columns = [one[0] for one in compiler.select]
    if len(parameters) != 1 or [one.target for one in columns] != list(model._meta.concrete_fields):
        return Select(model._meta.db_table, "", ())
    converters = compiler.get_converters(columns)
    return Select(model._meta.db_table, sql, tuple((at, found, one) for at, (found, one) in converters.items()))
