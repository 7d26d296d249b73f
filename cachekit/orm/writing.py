"""Say what an INSERT, UPDATE or DELETE changes: the table, its rows, old and new slices of declared indexes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import Field, Model, QuerySet
from django.db.models.constants import OnConflict
from django.db.models.expressions import Col
from django.db.models.sql import Query
from django.db.models.sql.subqueries import InsertQuery

from cachekit import registry
from cachekit.orm.reading import picked

MAX_ROWS = 200
"""A write to more rows invalidates every row: one point instead of hundreds."""


def inserted(query: InsertQuery, using: str, returned: Sequence[str], rows: Iterable[Sequence[Any]]) -> set[str]:
    """Return the tags of inserted objects; `rows` hold the values of the fields `returned` by the database."""
    model, objects = query.get_meta().model, query.objs
    family = registry.family_of(model, using)
    conflicts = getattr(query, "on_conflict", None) == OnConflict.UPDATE
    if len(objects) > MAX_ROWS or conflicts or registry.is_stranger(model):
        return set(registry.whole(family))
    pk = model._meta.pk
    told = [dict(zip(returned, row, strict=False)) for row in rows]
    told = told if len(told) == len(objects) else [{}] * len(objects)
    found = {family}
    for one, known in zip(objects, told, strict=True):
        key = getattr(one, pk.attname)
        found.add(registry.row(family, pk, known.get(pk.attname, UNKNOWN) if key is None else key))
        for field in registry.indexes_of(model):
            # what the database makes, such as a generated column, the object does not hold
            value = known[field.attname] if field.attname in known else vars(one).get(field.attname, UNKNOWN)
            found.add(registry.slice_of(family, field, value))
    return found


class _Unknown:
    """A value that only the database knows: it converts to none, so it means every row or slice."""


UNKNOWN = _Unknown()


def _rows(family: str, pk: Field[Any, Any], keys: Iterable[Any]) -> list[str]:
    return [registry.row(family, pk, key, prepared=True) for key in keys]


class Touched(NamedTuple):
    """The tags of what a statement is about to change, and how many rows were looked at to know them."""

    tags: set[str]
    rows: float = math.inf


def changed(query: Query, using: str, new_values: Sequence[tuple[Field[Any, Any], Any]]) -> Touched:
    """Return the tags of rows about to be updated or deleted, as the database holds them now, and their new slices."""
    model = query.get_meta().model
    family, pk, indexes = registry.family_of(model, using), model._meta.pk, registry.indexes_of(model)
    if registry.is_stranger(model):
        return Touched(set(registry.whole(family)))
    base = next(iter(query.alias_map), None)  # `query.base_table` would remember that there is none yet
    keys = dict(picked(query.where, base or model._meta.db_table, MAX_ROWS)).get(pk)
    found = {family}
    found.update(registry.row(family, pk, value) for field, value in new_values if field.primary_key)
    if not indexes:
        found.update([f"{family}#*"] if keys is None else _rows(family, pk, keys))
        return Touched(found)
    held = _held(query, using, pk, indexes, keys)
    if len(held) > MAX_ROWS:
        return Touched(set(registry.whole(family)))
    for key, *values in held:
        found.add(registry.row(family, pk, key))
        found.update(registry.slice_of(family, field, value) for field, value in zip(indexes, values, strict=True))
    found.update(registry.slice_of(family, field, value) for field, value in new_values if field in indexes)
    written = {field for field, _ in new_values}
    if any(field.generated and not written.isdisjoint(made_of(field)) for field in indexes):
        found.add(f"{family}?*")
    return Touched(found, len(held))


@lru_cache(maxsize=1024)
def made_of(field: Any) -> frozenset[Field[Any, Any]]:
    """Return the columns of which the database makes a generated one."""
    front, found = [field.expression.resolve_expression(Query(field.model, alias_cols=False), allow_joins=False)], []
    while front:
        one = front.pop()
        if isinstance(one, Col):
            found.append(one.target)
        elif hasattr(one, "get_source_expressions"):
            front += one.get_source_expressions()
    return frozenset(found)


def whole(query: Query, using: str) -> tuple[str, ...]:
    """Return the tags of a write that touched more than was looked at: rows came in between."""
    return registry.whole(registry.family_of(query.get_meta().model, using))


def followed(model: type[Model], using: str) -> list[str]:
    """Return the tags of tables whose rows the database itself deletes or changes when rows of this model go."""
    return [tag for family in registry.followers_of(model, using) for tag in registry.whole(family)]


def _held(
    query: Query, using: str, pk: Field[Any, Any], indexes: Sequence[Field[Any, Any]], keys: list[Any] | None
) -> list[tuple[Any, ...]]:
    """Read primary keys and index columns, locked where the database can, so that no other writer slips in between."""
    features = connections[using].features
    rows: Any = QuerySet(query.get_meta().model, using=using)  # no manager: one might hide rows
    rows = rows.filter(pk__in=_selected(query) if keys is None else keys)
    if features.has_select_for_update:
        rows = rows.select_for_update(no_key=features.has_select_for_no_key_update)
    columns = [field.attname for field in indexes]
    return list(rows.order_by().values_list(pk.attname, *columns)[: MAX_ROWS + 1])


def _selected(query: Query) -> Query:
    """Return the SELECT of the primary keys that a write is about to touch."""
    select = query.chain(klass=Query)
    select.clear_ordering(force=True)
    select.clear_select_clause()
    select.add_fields([query.get_meta().pk.name])
    return select
