"""Tell querysets apart by their structure, without compiling SQL, where equal structure is known to mean equal SQL.

What is not known exactly (expressions, subqueries, fields and lookups of a project's own) has no shape here.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, ForeignKey, Model, OneToOneField
from django.db.models.expressions import Col
from django.db.models.fields.reverse_related import ManyToOneRel, OneToOneRel
from django.db.models.sql import Query
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.where import WhereNode

_VALUES = frozenset(
    {int, str, bool, type(None), float, bytes, decimal.Decimal, datetime.date, datetime.timedelta, uuid.UUID}
)
"""Values whose `repr` tells them from all others of these types."""
_LOOKUPS = frozenset({"django.db.models.lookups", "django.db.models.fields.related_lookups"})
_RELATIONS = frozenset({ForeignKey, OneToOneField, ManyToOneRel, OneToOneRel})
_READ = frozenset(
    {
        "model",
        "where",
        "alias_map",
        "alias_refcount",
        "table_map",
        "used_aliases",
        "base_table",
        "order_by",
        "deferred_loading",
        "select_related",
        "select",
        "values_select",
        "selected",
        "_lookup_joins",
    }
)
"""Attributes of a query that make its shape, or follow from those that do."""
_FLAGS = ("low_mark", "high_mark", "distinct", "default_cols", "default_ordering", "standard_ordering", "alias_cols")
_CHECKED = _READ.union(_FLAGS)


class Unknown(Exception):
    """Something whose SQL is not known without compiling it."""


def shape_of(queryset: Any) -> tuple[Any, ...] | None:
    """Return what tells a queryset's rows from those of all others over the same database; None where SQL must."""
    try:
        return (
            queryset.model._meta.label_lower,
            queryset._iterable_class.__qualname__,
            queryset._fields,
            _lookups(queryset._prefetch_related_lookups),
            _query(queryset.query),
        )
    except Unknown:
        return None


def _lookups(lookups: tuple[Any, ...]) -> tuple[str, ...]:
    for one in lookups:
        if type(one) is not str:
            raise Unknown
    return lookups


def _query(query: Any) -> tuple[Any, ...]:
    if type(query) is not Query or query.group_by is not None:
        raise Unknown
    for name, value in vars(query).items():
        if name not in _CHECKED:
            default = getattr(Query, name, None)
            if (value or default) and value is not default and value != default:
                raise Unknown
    model: Any = query.model
    order = query.order_by
    if order:
        _refuse_others(order, model)
    elif query.default_ordering and model._meta.ordering:
        _refuse_others(model._meta.ordering, model)
    return (
        columns_of(model),
        tuple([getattr(query, name) for name in _FLAGS]),
        tuple(_tables(query)),
        _where(query.where),
        order,
        _loading(query),
        _related(query.select_related, model),
        tuple(map(_col, query.select)),
        query.values_select,
        None if query.selected is None else tuple(query.selected.items()),
    )


def _tables(query: Any) -> Iterator[tuple[Any, ...]]:
    for alias, table in query.alias_map.items():
        count = query.alias_refcount[alias]
        if type(table) is BaseTable:
            yield table.table_name, alias, count
        elif type(table) is Join and table.filtered_relation is None:
            field: Any = table.join_field
            if type(field) not in _RELATIONS:
                raise Unknown
            along = _field(getattr(field, "field", field))
            step = (table.parent_alias, table.join_type, table.nullable, type(field).__name__, along)
            yield (table.table_name, alias, count, *step, columns_of(field.model))
        else:
            raise Unknown


def _where(node: Any) -> tuple[Any, ...]:
    return (node.connector, node.negated, *[_condition(child) for child in node.children])


def _condition(node: Any) -> tuple[Any, ...]:
    if type(node) is WhereNode:
        return _where(node)
    kind = type(node)
    if kind.__module__ not in _LOOKUPS or getattr(node, "bilateral_transforms", True):
        raise Unknown
    right = node.rhs
    return kind.__name__, _col(node.lhs), _value(right) if type(right) in _VALUES else _values(node, right)


def _values(node: Any, right: Any) -> Any:
    """Return the values of an IN or a BETWEEN; an empty one has no SQL at all."""
    if isinstance(right, (list, tuple, set, frozenset)):
        if not right:
            raise Unknown
        return tuple([_value(one) for one in right])
    return _value(right)


def _value(value: Any) -> Any:
    kind = type(value)
    if kind in _VALUES:
        return value
    if kind is datetime.datetime or kind is datetime.time:
        zone = value.tzinfo
        if zone is None or zone is datetime.UTC:
            return value
        if type(zone) is ZoneInfo and zone.key:
            return value.replace(tzinfo=None), zone.key, value.fold
    if isinstance(value, enum.Enum) and isinstance(value, (str, int)) and type(value.value) in _VALUES:
        return kind.__module__, kind.__qualname__, value.name, value.value
    raise Unknown


def _col(col: Any) -> tuple[str, ...]:
    if type(col) is not Col:
        raise Unknown
    target, output = col.target, col.output_field
    name = _field(target)
    return (col.alias, name) if output is target else (col.alias, name, _field(output))


def _loading(query: Any) -> tuple[Any, ...]:
    names, defer = query.deferred_loading
    if not names:
        return (defer,)
    if any("__" in name for name in names):
        raise Unknown
    return defer, *sorted(names)


def _related(wanted: Any, model: Any) -> Any:
    """Return which foreign keys are followed, with the columns that they lead to."""
    if not wanted:
        return False
    if wanted is True:
        raise Unknown
    found = []
    for name, deeper in wanted.items():
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist as error:
            raise Unknown from error
        if type(field) not in (ForeignKey, OneToOneField):
            raise Unknown
        found.append((name, columns_of(field.related_model), _related(deeper, field.related_model)))
    return tuple(found)


def _refuse_others(order: Any, model: Any) -> None:
    """Raise Unknown for an order that is not by columns of the model, which stand in its own table or a parent's."""
    names = _orders(model)
    for one in order:
        if type(one) is not str or one not in names:
            raise Unknown


@lru_cache(maxsize=1024)
def _orders(model: Any) -> frozenset[str]:
    names: set[str] = set() if model._meta.pk.is_relation else {"pk"}
    for field in model._meta.concrete_fields:
        names.add(field.attname if field.is_relation else field.name)
    return frozenset(f"{sign}{name}" for sign in ("", "-") for name in names)


@lru_cache(maxsize=1024)
def columns_of(model: type[Model]) -> str:
    """Return a text that changes with what a release says of a model: its table, columns and order."""
    meta: Any = model._meta
    columns = [
        f"{one.model._meta.db_table}.{one.column}={one.attname}:{_path(type(one))}" for one in meta.concrete_fields
    ]
    ordering = [one if isinstance(one, str) else "?" for one in meta.ordering or ()]
    return _digest(repr((meta.label_lower, meta.db_table, columns, ordering)))


_fields: dict[int, tuple[Any, str]] = {}


def _field(field: Any) -> str:
    """Return the name of a field of Django's own. Raises Unknown for others: their SQL may depend on anything."""
    known = _fields.get(id(field))
    if known is not None:
        return known[1]
    steps, step = [], field
    while True:
        if not isinstance(step, Field) or not type(step).__module__.startswith("django.") or not hasattr(step, "model"):
            raise Unknown  # one without a model is what a generated column's values are
        steps.append(f"{step.model._meta.db_table}.{step.column}:{type(step).__qualname__}")
        if not isinstance(step, ForeignKey):
            break
        step = step.target_field
    name = ">".join((field.name, *steps))
    if len(_fields) > 10_000:
        _fields.clear()
    _fields[id(field)] = field, name
    return name


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
