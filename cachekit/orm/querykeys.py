"""What tells the results of one queryset from those of all others: its structure, or its SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import django
from django.core.exceptions import EmptyResultSet, FieldDoesNotExist
from django.db.models import Model, Prefetch

from cachekit import registry
from cachekit.core import keys
from cachekit.databases import primary_of
from cachekit.exceptions import InvalidKey
from cachekit.orm import own_sql
from cachekit.orm.rows import is_foreign
from cachekit.packers import packer
from cachekit.specs import CodecOf, Door, Options, surroundings

RELEASE = ".".join(map(str, django.VERSION[:3]))
"""Part of every key: pickled instances of another Django release warn when they are read."""


def door_of(model: Any, options: Options, codec_of: CodecOf = packer) -> Door:
    """Return the door behind which results of a model are kept by these options."""
    label = model._meta.label_lower
    try:
        return _known_door(label, tuple(options.items()), codec_of)
    except TypeError:  # an option is something that does not hash: Door says what is wrong with it
        return Door("query", label, options, codec_of)


@lru_cache(maxsize=1024)
def _known_door(label: str, options: tuple[tuple[str, Any], ...], codec_of: CodecOf) -> Door:
    return Door("query", label, dict(options), codec_of)


def text_of(queryset: Any, using: str, what: str, shape: tuple[Any, ...] | None, *, local: bool = False) -> str:
    """Return what tells results from all others in their key; nothing for what is not to be cached, or makes no key."""
    if queryset.query.select_for_update:
        return ""
    here = surroundings() if local else ()
    if shape is not None:
        told = repr((RELEASE, what, primary_of(using), shape, *here)).encode("utf-8", "surrogatepass")
        return keys.shortened(told)
    try:
        return keys.fingerprint(RELEASE, what, *here, *_identity(queryset))
    except (EmptyResultSet, InvalidKey):
        return ""


def _identity(queryset: Any) -> Iterable[Any]:
    """Yield all that tells one queryset's results from another's."""
    sql, params = queryset.query.get_compiler(queryset.db).as_sql()
    iterable = queryset._iterable_class
    yield from (primary_of(queryset.db), queryset.model._meta.label_lower, sql, iterable.__qualname__, queryset._fields)
    yield tuple(map(parameter, params))
    # the same SQL is read into another type where an expression says so
    yield [(name, type(one.output_field).__qualname__) for name, one in queryset.query.annotation_select.items()]
    for lookup in queryset._prefetch_related_lookups:
        if not isinstance(lookup, Prefetch):
            yield lookup
            continue
        yield (lookup.prefetch_through, lookup.prefetch_to)
        if lookup.queryset is not None:
            yield tuple(_identity(lookup.queryset))


def aggregates(queryset: Any, named: dict[str, Any]) -> str:
    """Return a text that tells these aggregates from all others: their SQL, with the joins that they need."""
    query = queryset.query.chain()
    compiler = query.get_compiler(queryset.db)
    compiler.setup_query()
    found = []
    for name, expression in named.items():
        resolved = expression.resolve_expression(query, allow_joins=True, reuse=None, summarize=True)
        sql, params = compiler.compile(resolved)
        found.append((name, sql, tuple(map(parameter, params)), type(resolved.output_field).__qualname__))
        query.append_annotation_mask([name])  # those behind it may be made of it
        query.annotations[name] = resolved
    joins, params = compiler.get_from_clause()
    return keys.fingerprint("aggregate", found, joins, tuple(map(parameter, params)))


def parameter(value: Any) -> Any:
    """Return a query's parameter as something that makes a key; adapters of database drivers wrap plain values."""
    inner = getattr(value, "obj", value)
    return inner if inner is value else (type(value).__name__, repr(inner))


def is_local(queryset: Any) -> bool:
    """Tell whether language or time zone may change the results beside the SQL: a project's own code converts them."""
    query = queryset.query
    if any(own_sql.is_own(one) or _is_ours(one) for one in query.annotations.values()):
        return True
    try:
        models = {queryset.model, *_read(query), *_related(queryset.model, query.select_related)}
        for lookup in queryset._prefetch_related_lookups:
            if isinstance(lookup, Prefetch):
                if lookup.queryset is not None and is_local(lookup.queryset):
                    return True
                lookup = lookup.prefetch_through  # noqa: PLW2901 - its name leads to the models
            models.update(_along(queryset.model, lookup))
    except FieldDoesNotExist:  # a generic foreign key leads anywhere
        return True
    return any(map(converts, models))


def _is_ours(expression: Any) -> bool:
    field = getattr(expression, "_output_field_or_none", None)
    return field is not None and is_foreign(field)


def _read(query: Any) -> Iterator[type[Model]]:
    for table in query.alias_map.values():
        if (model := registry.model_of_table(table.table_name)) is not None:
            yield model


def _related(model: Any, wanted: Any) -> Iterator[type[Model]]:
    if wanted is True:  # whatever foreign keys there are
        yield from (field.related_model for field in model._meta.concrete_fields if field.is_relation)
    elif wanted:
        for name, deeper in wanted.items():
            yield from _along(model, name)
            yield from _related(_step(model, name), deeper)


def _along(model: Any, path: str) -> Iterator[type[Model]]:
    for name in path.split("__"):
        model = _step(model, name)
        yield model


@lru_cache(maxsize=1024)
def _step(model: Any, name: str) -> Any:
    for one in model._meta.get_fields():
        accessor = getattr(one, "get_accessor_name", None)
        if name in (one.name, accessor() if accessor else None) and one.related_model is not None:
            return one.related_model
    raise FieldDoesNotExist(name)


@lru_cache(maxsize=1024)
def converts(model: type[Model]) -> bool:
    """Tell whether a field of a project's own makes something of a column of this model."""
    return any(map(is_foreign, model._meta.concrete_fields))
