"""Make model instances of rows, as Django's `from_db` does, past `__init__` where nothing could tell the difference."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

from django.db import models
from django.db.models import Model
from django.db.models.base import ModelState
from django.db.models.fields.files import FileDescriptor, ImageFileDescriptor
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

from cachekit.core.rowcodec import Packed

M = TypeVar("M", bound=Model)

_INERT = frozenset({DeferredAttribute, ForeignKeyDeferredAttribute, FileDescriptor, ImageFileDescriptor})
"""Attributes of columns that only put the value into a fresh instance's `__dict__` when they are set."""
_SCALAR = frozenset(
    {
        models.AutoField,
        models.BigAutoField,
        models.BigIntegerField,
        models.BooleanField,
        models.CharField,
        models.DateField,
        models.DateTimeField,
        models.DecimalField,
        models.DurationField,
        models.EmailField,
        models.FileField,
        models.FloatField,
        models.ForeignKey,
        models.GenericIPAddressField,
        models.ImageField,
        models.IntegerField,
        models.OneToOneField,
        models.PositiveBigIntegerField,
        models.PositiveIntegerField,
        models.PositiveSmallIntegerField,
        models.SlugField,
        models.SmallAutoField,
        models.SmallIntegerField,
        models.TextField,
        models.TimeField,
        models.URLField,
        models.UUIDField,
    }
)
"""Fields of columns that hold nothing changeable, so that rows of no others need be looked through."""
new = object.__new__
_HOOKS = frozenset({"__init__", "__new__", "__setattr__", "from_db"})
"""What a class may do when an instance is made; a mixin behind `Model` in the bases is called too."""


class Maker:
    """Makes instances of one model out of rows that hold its concrete columns, or those named."""

    def __init__(self, model: type[Model], names: tuple[str, ...] = ()) -> None:
        self.model: Any = model
        self.names = names or tuple(field.attname for field in model._meta.concrete_fields)
        self._is_simple = _is_simple(model, self.names)
        self._is_flat = all(type(model._meta.get_field(name)) in _SCALAR for name in self.names)

    def make(self, row: Sequence[Any], using: str) -> Any:
        """Return an instance of its own, as if it had been read from `using`."""
        values = row if self._is_flat else opened(row)
        if not self._is_simple or _is_listened_to(self.model):
            return self.model.from_db(using, self.names, values)
        made = new(self.model)
        state = new(ModelState)
        inner = state.__dict__
        inner["adding"], inner["db"] = False, using
        held = made.__dict__
        held["_state"] = state
        held.update(zip(self.names, values, strict=True))
        return made

    def make_all(self, rows: Sequence[Sequence[Any]], using: str) -> list[Any]:
        """Return an instance of its own for each row."""
        if not self._is_simple or _is_listened_to(self.model):
            return [self.make(row, using) for row in rows]
        model, names = self.model, self.names
        if any(len(row) != len(names) for row in rows):
            raise ValueError(f"Rows of {model._meta.label} have {len(names)} columns, not those of {rows!r:.80}")
        made = []
        for row in rows if self._is_flat else map(opened, rows):
            one: Any = new(model)
            state = new(ModelState)
            inner = state.__dict__
            inner["adding"], inner["db"] = False, using
            held = one.__dict__
            held["_state"] = state
            held.update(zip(names, row))  # noqa: B905 - looked at above; to say strict=True takes as long as to zip
            made.append(one)
        return made


def opened(row: Sequence[Any]) -> Sequence[Any]:
    """Return a row with fresh copies of its changeable values."""
    for one in row:
        if type(one) is Packed:
            return [one.open() if type(one) is Packed else one for one in row]
    return row


@lru_cache(maxsize=1024)
def maker_of(model: type[Model], names: tuple[str, ...] = ()) -> Maker:
    """Return the maker of a model's instances."""
    return Maker(model, names)


def _is_simple(model: Any, names: tuple[str, ...]) -> bool:
    """Tell whether `from_db` does nothing but put the columns into an instance's `__dict__`."""
    for one in model.__mro__:
        if one not in (Model, object) and not _HOOKS.isdisjoint(vars(one)):
            return False
    return all(type(inspect.getattr_static(model, name, None)) in _INERT for name in names)


def _is_listened_to(model: type[Model]) -> bool:
    """Tell whether somebody hears of each new instance."""
    if not pre_init.receivers and not post_init.receivers:
        return False
    return pre_init.has_listeners(model) or post_init.has_listeners(model)
