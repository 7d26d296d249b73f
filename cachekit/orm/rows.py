"""Rows by primary key, kept one by one: recognised before a queryset is built, fetched, made into instances."""

from __future__ import annotations

import dataclasses
import logging
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, cast

import django
from asgiref.sync import sync_to_async
from django.db import models, router
from django.db.models import Model

from cachekit import engine, gathering, registry, tenants
from cachekit.conf import Conf, conf
from cachekit.core.capture import current
from cachekit.core.keys import fingerprint
from cachekit.core.policy import Policy, Spec
from cachekit.core.rowcodec import frozen
from cachekit.databases import lag_of, primary_of
from cachekit.exceptions import UncacheableValue
from cachekit.orm.instances import Maker, maker_of
from cachekit.orm.statements import fetch_row, fetch_rows
from cachekit.packers import row_codec
from cachekit.specs import policy_of, surroundings
from cachekit.stores import store_for

logger = logging.getLogger("cachekit.rows")

LONGEST_TEXT = 64
MOST_AT_ONCE = 1000
_WHOLE_NUMBERS: dict[str, range] = {
    "AutoField": range(-(2**31), 2**31),
    "BigAutoField": range(-(2**63), 2**63),
    "SmallAutoField": range(-(2**15), 2**15),
    "IntegerField": range(-(2**31), 2**31),
    "BigIntegerField": range(-(2**63), 2**63),
    "SmallIntegerField": range(-(2**15), 2**15),
    "PositiveIntegerField": range(2**31),
    "PositiveBigIntegerField": range(2**63),
    "PositiveSmallIntegerField": range(2**15),
}
_TEXTS = frozenset({models.CharField, models.SlugField, models.TextField, models.EmailField, models.URLField})


class Rows:
    """How the rows of one model are kept."""

    def __init__(self, model: type[Model], options: Mapping[str, Any]) -> None:
        self.model: Any = model
        concrete: Any = model._meta.concrete_model
        self._concrete = concrete
        self.pk: Any = concrete._meta.pk
        self.names = frozenset({"pk", self.pk.name, self.pk.attname})
        self.label = concrete._meta.label_lower
        self.obstacle = obstacle_of(model)
        """Why this model's rows are never kept, or nothing."""
        self._alias: str = options.get("alias", "")
        self._options = tuple(sorted((key, value) for key, value in options.items() if key != "alias"))
        self._policy = self._policy_of(Conf())
        self._kind = kind_of(self.pk)
        self._maker: Maker = maker_of(model)
        self._start = f":e:row:{self.label}:{_columns(concrete)}:"
        self._is_local = any(map(is_foreign, concrete._meta.concrete_fields))
        """Whether language or time zone may change what becomes of its columns."""

    def asked(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return the primary key that `get(…)` asks for and nothing beside; None for any other question."""
        if not args and len(kwargs) == 1:
            ((name, value),) = kwargs.items()
            return value if name in self.names else None
        return None

    def get(self, value: Any, using: str | None, hints: Mapping[str, Any]) -> Any:
        """Return the instance with this key; None where the question is not a plain one. Raises DoesNotExist."""
        text = self._text(value)
        if text is None:
            return None
        found = using or router.db_for_read(self.model, **hints)
        row = engine.get_or_set(self._spec(text, found), partial(self._fetch, value, using, hints))
        return self._made(row, found)

    async def aget(self, value: Any, using: str | None, hints: Mapping[str, Any]) -> Any:
        """Like `get`; only what must ask the database goes to a thread."""
        text = self._text(value)
        if text is None:
            return None
        found = using or router.db_for_read(self.model, **hints)
        produce = sync_to_async(partial(self._fetch, value, using, hints))
        return self._made(await engine.aget_or_set(self._spec(text, found), produce), found)

    def in_bulk(self, values: Any, using: str | None, hints: Mapping[str, Any]) -> dict[Any, Any] | None:
        """Return the instances with these keys, by key; None where the question is not a plain one.

        What must be fetched comes from the primary, unless a replica is named: nobody asks whether one would do.
        """
        asked, found = self._asked_for(values), using or router.db_for_read(self.model, **hints)
        if asked is None or (using and lag_of(using)):
            return None
        keys = list(asked.values())
        specs = [self._spec(text, found) for text in asked]
        rows = gathering.gather(specs, lambda places: self._fetch_many([keys[at] for at in places], using, hints))
        return None if rows is None else self._all_made(rows, found)

    async def ain_bulk(self, values: Any, using: str | None, hints: Mapping[str, Any]) -> dict[Any, Any] | None:
        """Like `in_bulk`."""
        asked, found = self._asked_for(values), using or router.db_for_read(self.model, **hints)
        if asked is None or (using and lag_of(using)):
            return None
        keys = list(asked.values())
        specs = [self._spec(text, found) for text in asked]

        async def produce(places: tuple[int, ...]) -> Sequence[gathering.Made]:
            return await sync_to_async(self._fetch_many)([keys[at] for at in places], using, hints)

        rows = await gathering.agather(specs, produce)
        return None if rows is None else self._all_made(rows, found)

    def _asked_for(self, values: Any) -> dict[str, Any] | None:
        """Return keys by their texts; None if one of them, or all of them, may be understood in another way."""
        if not isinstance(values, (list, tuple, set, frozenset)) or not 0 < len(values) <= MOST_AT_ONCE:
            return None
        asked = {self._text(value): value for value in values}
        return None if None in asked else cast("dict[str, Any]", asked)

    def _all_made(self, rows: Sequence[tuple[Any, ...]], using: str) -> dict[Any, Any]:
        made = (self._maker.make(row, using) for row in rows if row)
        return {one.pk: one for one in made}

    def _made(self, row: tuple[Any, ...], using: str) -> Any:
        if not row:
            raise self.model.DoesNotExist(f"{self.model._meta.object_name} matching query does not exist.")
        return self._maker.make(row, using)

    def _text(self, value: Any) -> str | None:
        """Return what a key says of a primary key; None for what Django may understand in another way than we do."""
        if self.obstacle:
            return None
        kind = self._kind
        if type(value) is int:
            return str(value) if type(kind) is range and value in kind else None
        if type(value) is str and kind is str:
            plain = value.isascii() and value.isalnum() and len(value) <= LONGEST_TEXT
            return value if plain else f"~{fingerprint(value)}" if "\x00" not in value else None
        return value.hex if type(value) is uuid.UUID and kind is uuid.UUID else None

    def _spec(self, text: str, using: str) -> Spec:
        given = conf()
        if self._policy[0] is not given:
            self._policy = self._policy_of(given)
        alias = self._alias or given.ALIAS
        owner = f"@{name}:" if given.TENANT and (name := tenants.current()) else ""
        if self._is_local:
            owner += f"{fingerprint(*surroundings())[:8]}:"
        key = f"{store_for(alias).prefix}{self._start}{owner}{primary_of(using)}:{text}"
        return Spec(alias, key, "row", self.label, self._policy[1], row_codec(alias))

    def _policy_of(self, given: Conf) -> tuple[Conf, Policy]:
        """Return the policy, with the settings that it was made from; to fetch a row takes no longer than a lease."""
        return given, dataclasses.replace(policy_of(given, self._options), lease=False)

    def _fetch(self, value: Any, using: str | None, hints: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the row as the database has it, packed; nothing where there is none."""
        found = using or router.db_for_read(self.model, **hints)
        row = fetch_row(self._concrete, found, value)
        capture = current.get()
        if capture is not None:
            capture.depend(*self._tags(row, found, value))
        return self._packed(row)

    def _fetch_many(self, values: list[Any], using: str | None, hints: Mapping[str, Any]) -> list[gathering.Made]:
        """Return the rows as the database has them, each with its tags, in this order."""
        found = using or router.db_for_read(self.model, **hints)
        rows = fetch_rows(self._concrete, found, values)
        made: list[gathering.Made] = []
        for value in values:
            row = rows.get(value)
            made.append((self._packed(row), self._tags(row, found, value)))
        return made

    def _packed(self, row: tuple[Any, ...] | None) -> tuple[Any, ...]:
        try:
            return frozen(row or ())
        except UncacheableValue as error:
            self.obstacle = str(error)
            logger.warning("Rows of %s are not cached: %s", self.label, error)
            return row or ()  # which the codec refuses too, so that it is handed out and not stored

    def _tags(self, row: tuple[Any, ...] | None, using: str, value: Any) -> list[str]:
        """Return the tags of a row and of its parents' rows; where there is none, of the row that may come."""
        found = list(registry.sources_of(self._concrete, using))
        for model in (self._concrete, *self._concrete._meta.get_parent_list()) if row else (self._concrete,):
            family = registry.family_of(model, using)
            field = model._meta.pk
            key = row[self._maker.names.index(field.attname)] if row else value
            tag = registry.row(family, field, key)
            found.append(family if tag.endswith("*") else tag)
        return found


@lru_cache(maxsize=1024)
def rows_of(model: type[Model], options: tuple[tuple[str, Any], ...]) -> Rows:
    """Return how the rows of a model are kept."""
    return Rows(model, dict(options))


def kind_of(field: Any) -> Any:
    """Return what values of a primary key are recognised: a range of numbers, str, UUID; None for others."""
    while type(field) in (models.ForeignKey, models.OneToOneField):
        field = field.target_field
    kind = type(field)
    if kind.__module__.startswith("django.") and field.get_internal_type() in _WHOLE_NUMBERS:
        return _WHOLE_NUMBERS[field.get_internal_type()]
    return str if kind in _TEXTS else uuid.UUID if kind is models.UUIDField else None


def obstacle_of(model: Any) -> str:
    """Return why rows of a model cannot be kept, or nothing."""
    concrete = model._meta.concrete_model or model
    if registry.is_own(concrete):
        return "its writes are not followed"
    if registry.is_stranger(concrete):
        return "another model stands for its table"
    if kind_of(concrete._meta.pk) is None:
        return f"its primary key is a {type(concrete._meta.pk).__name__}"
    return ""


def doubts_of(model: Any) -> list[str]:
    """Return why rows of a model are not kept, as far as that can be told without looking at one."""
    found = [reason] if (reason := obstacle_of(model)) else []
    return found + [
        f"what {type(field).__name__} makes of the column {field.name!r} may be no plain value"
        for field in model._meta.concrete_fields
        if is_foreign(field)
    ]


def is_foreign(field: Any) -> bool:
    """Tell whether a field is of a project's own and converts its column, so that nobody knows into what."""
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    convert = getattr(type(field), "from_db_value", None)
    return convert is not None and not convert.__module__.startswith("django.")


def _columns(model: Any) -> str:
    """Return a short text that changes with the model's columns: a release with others finds no rows of this one."""
    fields = [(one.attname, one.column, _path(one), one.get_internal_type()) for one in model._meta.concrete_fields]
    return fingerprint(django.VERSION[:2], fields)[:8]


def _path(field: Any) -> str:
    return f"{type(field).__module__}.{type(field).__qualname__}"
