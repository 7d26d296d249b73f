"""Say what an INSERT, UPDATE or DELETE changes: the table, its rows, old and new slices of declared indexes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connections
from django.db.models import Field, Model
from django.db.models.constants import OnConflict
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
    if len(objects) > MAX_ROWS or getattr(query, "on_conflict", None) == OnConflict.UPDATE:
        return set(registry.whole(family))
    pk = model._meta.pk
    found = {family}
    found.update(registry.row(family, pk, value) for value in _keys(pk, objects, returned, rows))
    for one in objects:
        found.update(
            registry.slice_of(family, field, getattr(one, field.attname)) for field in registry.indexes_of(model)
        )
    return found


def _keys(
    pk: Field[Any, Any], objects: Sequence[Model], returned: Sequence[str], rows: Iterable[Sequence[Any]]
) -> list[Any]:
    """Return the objects' primary keys; UNKNOWN, which stands for every row, where the database did not tell."""
    given = [getattr(one, pk.attname) for one in objects]
    if None in given and pk.attname in returned:
        at = returned.index(pk.attname)
        told = [row[at] for row in rows]
        if len(told) == len(objects):
            return told
    return [UNKNOWN if value is None else value for value in given]


class _Unknown:
    """A primary key that only the database knows: it converts to no key, so it means every row."""


UNKNOWN = _Unknown()


def changed(query: Query, using: str, new_values: Sequence[tuple[Field[Any, Any], Any]]) -> set[str]:
    """Return the tags of rows about to be updated or deleted, as the database holds them now, and their new slices."""
    model = query.get_meta().model
    family, pk, indexes = registry.family_of(model, using), model._meta.pk, registry.indexes_of(model)
    base = next(iter(query.alias_map), None)  # `query.base_table` would remember that there is none yet
    keys = dict(picked(query.where, base or model._meta.db_table, MAX_ROWS)).get(pk)
    found = {family}
    if not indexes:
        found.update([f"{family}#*"] if keys is None else [registry.row(family, pk, key) for key in keys])
        return found
    held = _held(query, using, pk, indexes, keys)
    if len(held) > MAX_ROWS:
        return set(registry.whole(family))
    for key, *values in held:
        found.add(registry.row(family, pk, key))
        found.update(registry.slice_of(family, field, value) for field, value in zip(indexes, values, strict=True))
    found.update(registry.slice_of(family, field, value) for field, value in new_values if field in indexes)
    return found


def _held(
    query: Query, using: str, pk: Field[Any, Any], indexes: Sequence[Field[Any, Any]], keys: list[Any] | None
) -> list[tuple[Any, ...]]:
    """Read primary keys and index columns, locked where the database can, so that no other writer slips in between."""
    manager = query.get_meta().model._base_manager.using(using)
    rows = manager.filter(pk__in=_selected(query) if keys is None else keys)
    if connections[using].features.has_select_for_update:
        rows = rows.select_for_update()
    columns = [field.attname for field in indexes]
    return list(rows.order_by().values_list(pk.attname, *columns)[: MAX_ROWS + 1])


def _selected(query: Query) -> Query:
    """Return the SELECT of the primary keys that a write is about to touch."""
    select = query.chain(klass=Query)
    select.clear_ordering(force=True)
    select.extra = {}
    select.select = ()
    select.add_fields([query.get_meta().pk.name])
    return select
