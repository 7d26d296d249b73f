"""Say what a query depends on: rows, slices of declared indexes, or whole tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

from django.db.models import Field, Model
from django.db.models.expressions import BaseExpression, Col, RawSQL, Subquery
from django.db.models.functions import Now, Random
from django.db.models.lookups import Exact, In, IsNull
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.where import ExtraWhere, WhereNode

from cachekit import registry
from cachekit.core.tags import MAX_ROWS
from cachekit.orm import own_sql

OWN_EXTRA = "_prefetch_related_val_"
"""How Django names the columns that prefetching a many-to-many relation adds by extra()."""


UNSTEADY = ("RandomUUID", "TransactionNow", "UUID4", "UUID7")
"""Functions of django.contrib.postgres and of later releases that answer differently each time."""
LOCKS = "select_for_update() locks rows, which a value from a cache would not"
SAY_VOLATILE = "say volatile=True to keep it for the timeout all the same"


class Reading(NamedTuple):
    """What one SELECT depends on, and what stands in the way of keeping its answer."""

    tags: tuple[str, ...]
    unknown: str = ""
    """Why these are not all the tags."""
    volatile: str = ""
    """Why it may be answered differently, though no row has changed."""
    holds_sql: bool = False
    """Whether part of it is SQL as text, so that only the whole statement tells."""


def reading_of(compiler: SQLCompiler) -> Reading:
    """Look at one SELECT, of the aliases that its FROM clause uses."""
    query, using = compiler.query, compiler.connection.alias
    tags: dict[str, None] = {}
    unknown = ""
    for alias, table in query.alias_map.items():
        if not query.alias_refcount[alias]:
            continue
        owner = registry.model_of_table(table.table_name)
        if owner is None or registry.is_own(owner):
            unknown = f"writes to table '{table.table_name}' are not followed"
            continue
        family, model = registry.family_of(owner, using), query.model
        tags.update(dict.fromkeys(registry.sources_of(owner, using)))
        if alias == query.base_table and model is not None and table.table_name == model._meta.db_table:
            tags.update(dict.fromkeys(narrowed(query, model, family)))
        else:
            tags[family] = None
    pieces = list(_expressions(query, ordering := _default_ordering(query)))
    seen = [own_sql.seen(compiler, one) for one in pieces if own_sql.is_own(one)]
    holds_sql = bool(query.extra_tables) or not all(name.startswith(OWN_EXTRA) for name in query.extra)
    return Reading(
        tuple(tags),
        next((one.unknown for one in seen if one.unknown), unknown),
        _volatile(pieces, (*query.order_by, *ordering)) or next((one.volatile for one in seen if one.volatile), ""),
        holds_sql or any(one.holds_sql for one in seen) or any(isinstance(one, (RawSQL, ExtraWhere)) for one in pieces),
    )


def narrowed(query: Query, model: type[Model], family: str) -> Iterable[str]:
    """Return the rows or the slices that the WHERE clause picks from the base table, else the table."""
    picks = dict(picked(query.where, query.base_table))
    pk = model._meta.pk
    if (values := picks.get(pk)) is not None:
        return _or_table(family, [registry.row(family, pk, value, prepared=True) for value in values])
    for field in registry.indexes_of(model):
        if (values := picks.get(field)) is not None:
            return _or_table(family, [registry.slice_of(family, field, value, prepared=True) for value in values])
    return [family]


def _or_table(family: str, tags: list[str]) -> list[str]:
    """Return the tags, or the table's where one of them means all rows or slices: nothing can depend on that."""
    return [family] if any(tag.endswith("*") for tag in tags) else tags


def picked(where: WhereNode, alias: str | None, limit: int = MAX_ROWS) -> Iterator[tuple[Field[Any, Any], list[Any]]]:
    """Yield columns of the base table that must equal one of some plain values, with the values."""
    if where.negated or where.connector != "AND":
        return
    for child in cast("list[Any]", where.children):
        if isinstance(child, WhereNode):
            yield from picked(child, alias, limit)
        elif isinstance(getattr(child, "lhs", None), Col) and child.lhs.alias == alias:
            values = _values(child)
            if values is not None and len(values) <= limit and all(map(_is_plain, values)):
                yield child.lhs.target, values


def _values(lookup: Any) -> list[Any] | None:
    if not type(lookup).__module__.startswith("django."):
        return None  # a project's own kind of equality may pick other rows too
    if isinstance(lookup, Exact):
        return [lookup.rhs]
    if isinstance(lookup, In) and isinstance(lookup.rhs, Iterable) and not isinstance(lookup.rhs, (str, bytes, Query)):
        return list(lookup.rhs)
    if isinstance(lookup, IsNull) and lookup.rhs is True:
        return [None]
    return None


def _is_plain(value: Any) -> bool:
    return not isinstance(value, (BaseExpression, Query)) and not hasattr(value, "resolve_expression")


def _default_ordering(query: Query) -> tuple[Any, ...]:
    by_default = () if query.order_by or not query.default_ordering or not query.model else query.get_meta().ordering
    return tuple(by_default or ())


def _volatile(pieces: Iterable[Any], ordering: Iterable[Any]) -> str:
    for one in pieces:
        if isinstance(one, (Now, Random)) or type(one).__name__ in UNSTEADY:
            return f"{type(one).__name__}() answers differently each time"
    return "random order differs each time" if "?" in ordering else ""


def _expressions(query: Query, ordering: Iterable[Any]) -> Iterator[Any]:
    """Yield every expression of a query; subqueries are queries of their own, compiled on their own."""
    front: list[Any] = [*query.annotations.values(), *query.select, *query.order_by, *ordering, query.where]
    while front:
        one = front.pop()
        yield one
        if isinstance(one, WhereNode):
            front += one.children
        elif hasattr(one, "get_source_expressions") and not isinstance(one, Subquery):
            front += [inner for inner in one.get_source_expressions() if inner is not None]
