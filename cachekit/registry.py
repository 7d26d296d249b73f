"""Which tags a thing stands for: a model, an instance, a queryset or a tag as text."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, ValidationError
from django.db.models import DecimalField, Field, ForeignKey, Model, QuerySet
from django.db.models.signals import class_prepared

from cachekit import tenants
from cachekit.core import tags
from cachekit.core.canonical import canonical
from cachekit.core.keys import fingerprint
from cachekit.databases import primary_of
from cachekit.exceptions import InvalidTag

MAX_QUERYSET_ROWS = 1000


@lru_cache(maxsize=1)
def _models() -> dict[str, type[Model]]:
    """Map table names to one model each: models over the same table share their tags."""
    found: dict[str, type[Model]] = {}
    for model in apps.get_models(include_auto_created=True, include_swapped=True):
        concrete = model._meta.concrete_model or model
        found.setdefault(concrete._meta.db_table, concrete)
    return found


class_prepared.connect(lambda **_: _models.cache_clear(), weak=False, dispatch_uid="cachekit.registry")


def model_of_table(table: str) -> type[Model] | None:
    """Return the model that stands for a table."""
    return _models().get(table)


def family_of(model: type[Model], using: str) -> str:
    """Return the family (the table's tag) of a model in a database."""
    concrete = model._meta.concrete_model or model
    return _located(_models().get(concrete._meta.db_table, concrete)._meta.label_lower, using)


def is_stranger(model: type[Model]) -> bool:
    """Tell whether another model stands for this one's table: those of migrations know no declared indexes."""
    concrete = model._meta.concrete_model or model
    return _models().get(concrete._meta.db_table, concrete) is not concrete


def targets_of_table(table: str, using: str) -> tuple[str, ...] | None:
    """Return the tags of a write to a whole table and to those that follow it; None if no model has it."""
    model = _models().get(table)
    if model is None:
        return None
    if is_own(model):
        return ()
    families = (family_of(model, using), *followers_of(model, using))
    return tuple(tag for family in families for tag in whole(family))


def followers_of(model: type[Model], using: str) -> tuple[str, ...]:
    """Return the families of tables whose rows the database itself changes when rows of this model go."""
    return tuple(family_of(one, using) for one in _followers(model._meta.concrete_model or model))


@lru_cache(maxsize=1024)
def _followers(model: type[Model]) -> tuple[type[Model], ...]:
    """Follow foreign keys with an `on_delete` of the database (Django 6.1): DB_CASCADE deletes, and so goes on."""
    found: dict[type[Model], None] = {}
    front = [model]
    while front:
        for relation in front.pop()._meta.get_fields(include_hidden=True):
            action: Any = getattr(relation, "on_delete", None) if relation.auto_created else None
            if type(action).__name__ != "DatabaseOnDelete":
                continue
            child: Any = relation.related_model
            if action.operation == "CASCADE" and child not in found:
                front.append(child)
            found[child] = None
    return tuple(found)


def sources_of(model: type[Model], using: str) -> tuple[str, ...]:
    """Return the families of what a model over a database view is made of, by its CACHEKIT_DEPENDS_ON."""
    return tuple(family_of(one, using) for one in depends_on(model))


@lru_cache(maxsize=1024)
def depends_on(model: type[Model]) -> tuple[type[Model], ...]:
    """Return the models of `Model.CACHEKIT_DEPENDS_ON`, and theirs in turn. Raises ImproperlyConfigured."""
    found: dict[type[Model], None] = {}
    front = [model]
    while front:
        one = front.pop()
        names: Sequence[str] = getattr(one, "CACHEKIT_DEPENDS_ON", ())
        if isinstance(names, str):
            raise ImproperlyConfigured(f"{one.__name__}.CACHEKIT_DEPENDS_ON must be a tuple of labels: ({names!r},)")
        for name in names:
            try:
                source = apps.get_model(name)
            except (LookupError, ValueError) as error:
                raise ImproperlyConfigured(f"{one.__name__}.CACHEKIT_DEPENDS_ON names {name!r}: {error}") from error
            if source not in found:
                found[source] = None
                front.append(source)
    return tuple(found)


def is_own(model: type[Model]) -> bool:
    """Tell whether this is one of cachekit's own tables, whose writes invalidate nothing."""
    return model._meta.app_label == "cachekit"


def database_of(using: str) -> str:
    """Return the tag of everything that is read from a database, from its replicas too."""
    return f"db:{primary_of(using)}"


def _located(label: str, using: str) -> str:
    using = primary_of(using)
    return tenants.qualified(label if using == "default" else f"{label}@{using}")


def whole(family: str) -> tuple[str, ...]:
    """Return the tags of a write that cannot say which rows it touches."""
    return (family,) if family.startswith(tags.TABLE) else (family, f"{family}#*", f"{family}?*")


def row(family: str, field: Field[Any, Any], pk: Any, *, prepared: bool = False) -> str:
    """Return the tag of the row with this value of its primary key `field`; every row if it cannot be one.

    `prepared` values come out of a compiled lookup; others are an instance's.
    """
    value = _converted(field, pk, prepared)
    if value is not _ODD and field.name in SECRETS:
        return f"{family}#~{fingerprint(value)}"
    return f"{family}#*" if value is _ODD else _bounded(f"{family}#{canonical(value)}", f"{family}#")


def slice_of(family: str, field: Field[Any, Any], value: Any, *, prepared: bool = False) -> str:
    """Return the tag of the rows with this value of a declared index; every slice where only the database knows it.

    `prepared` as in `row`.
    """
    found = _converted(field, value, prepared)
    return (
        f"{family}?*"
        if found is _ODD
        else _bounded(f"{family}?{field.name}={canonical(found)}", f"{family}?{field.name}=")
    )


SECRETS = frozenset({"session_key", "key", "token"})
"""Primary keys of such names let their holder in: the ledger tells its readers a fingerprint instead."""
_ODD: Any = object()
PLAIN = (str, int, float, decimal.Decimal, uuid.UUID, datetime.date, datetime.time, datetime.timedelta, enum.Enum)
"""What is one text for one value; of others, such as dicts, equal ones may differ as text."""


def _converted(field: Field[Any, Any], value: Any, prepared: bool) -> Any:
    """Return a value as its column's Python type, so that "7" and 7 are one row; _ODD for what is no plain value."""
    while isinstance(field, ForeignKey):
        field = field.target_field
        value = getattr(value, field.attname) if isinstance(value, Model) else value
    field = getattr(field, "output_field", None) or field  # a generated column's values are of another's kind
    if value is None or hasattr(value, "resolve_expression"):
        return None if value is None else _ODD
    try:
        found = field.to_python(value if prepared else field.get_prep_value(value))
    except (ValidationError, TypeError, ValueError, ArithmeticError):
        return _ODD
    return _ODD if not isinstance(found, PLAIN) or _is_rounded(field, found) else found


def _is_rounded(field: Field[Any, Any], value: Any) -> bool:
    """Tell whether a database stores a decimal with fewer places than it has here; each rounds in its own way."""
    if not isinstance(field, DecimalField) or not isinstance(value, decimal.Decimal):
        return False
    exponent = value.normalize().as_tuple().exponent
    return not isinstance(exponent, int) or -exponent > (field.decimal_places or 0)


def _bounded(text: str, start: str) -> str:
    return text if len(text) <= tags.MAX_LENGTH else f"{start}~{fingerprint(text)}"


@lru_cache(maxsize=1024)
def indexes_of(model: type[Model]) -> tuple[Field[Any, Any], ...]:
    """Return the fields of `Model.CACHEKIT_INDEXES`. Raises ImproperlyConfigured for what is no column of it."""
    model = model._meta.concrete_model or model  # a proxy writes the same rows
    names: Sequence[str] = () if is_stranger(model) else getattr(model, "CACHEKIT_INDEXES", ())
    if isinstance(names, str):
        raise ImproperlyConfigured(f"{model.__name__}.CACHEKIT_INDEXES must be a tuple of names: ({names!r},)")
    fields = []
    for name in names:
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist as error:
            raise ImproperlyConfigured(f"{model.__name__}.CACHEKIT_INDEXES names {name!r}: {error}") from error
        if not isinstance(field, Field) or not field.concrete or field.many_to_many:
            raise ImproperlyConfigured(f"{model.__name__}.CACHEKIT_INDEXES names {name!r}, which is not a column")
        if field in model._meta.local_concrete_fields:
            fields.append(field)
    return tuple(fields)


def targets_of(things: Iterable[Any]) -> tuple[str, ...]:
    """Return the tags to invalidate for models, instances, querysets and tags. Raises InvalidTag for others."""
    found: dict[str, None] = {}
    for thing in things:
        found.update(dict.fromkeys(_targets(thing)))
    return tuple(found)


def _targets(thing: Any) -> Iterable[str]:
    if isinstance(thing, str):
        return _text_targets(thing)
    if isinstance(thing, type) and issubclass(thing, Model):
        return [tag for using in settings.DATABASES for tag in whole(family_of(thing, using))]
    if isinstance(thing, Model):
        return instance_targets(thing, thing._state.db or "default")
    if isinstance(thing, QuerySet):
        return _queryset_targets(thing)
    hint = ". It has a tag: pass its .tag" if isinstance(getattr(thing, "tag", None), str) else ""
    raise InvalidTag(
        f"invalidate() takes instances, models, querysets and tags, not {type(thing).__name__}: {thing!r:.80}{hint}"
    )


def _text_targets(text: str) -> Iterable[str]:
    text = tenants.qualified(text)
    tag = tags.parse(text)
    if tag.kind == "table":
        return whole(tag.family)
    if tag.kind == "whole" and text.endswith(("#*", "?*")):
        return (text, text[:-2])
    return (text, tag.family) if tag.kind in ("row", "slice") else (text,)  # the table hears of each of its rows


def instance_targets(instance: Model, using: str) -> list[str]:
    """Return the tags of a write to this row as it stands in memory: table, row and slices, parents' too."""
    found = []
    for model in (instance._meta.model, *instance._meta.get_parent_list()):
        concrete = model._meta.concrete_model or model
        family = family_of(concrete, using)
        pk = concrete._meta.pk
        deferred = instance.get_deferred_fields()
        found += [family, row(family, pk, getattr(instance, pk.attname))]
        found += [
            f"{family}?*" if field.attname in deferred else slice_of(family, field, getattr(instance, field.attname))
            for field in indexes_of(concrete)
        ]
    return found


def row_tags(instance: Model) -> list[str]:
    """Return what depends on this row depends on: the row, and those of its parents."""
    using = instance._state.db or "default"
    found = []
    for model in (instance._meta.model, *instance._meta.get_parent_list()):
        family = family_of(model, using)
        tag = row(family, model._meta.pk, getattr(instance, model._meta.pk.attname))
        found.append(family if tag.endswith("*") else tag)
    return found


def _queryset_targets(queryset: QuerySet[Any, Any]) -> Iterable[str]:
    using = primary_of(queryset.db)  # a replica may not have them yet
    every: QuerySet[Any, Any] = QuerySet(queryset.model, using=using)  # no manager: one might hide rows
    rows = list(every.filter(pk__in=queryset.using(using).values("pk"))[: MAX_QUERYSET_ROWS + 1])
    if len(rows) > MAX_QUERYSET_ROWS:
        return whole(family_of(queryset.model, using))
    return [tag for one in rows for tag in instance_targets(one, using)]
