"""What the core cannot know of Django's values: how model instances are copied, and which text is marked as safe."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.db import models
from django.db.models.base import ModelState
from django.utils.safestring import SafeString

from cachekit.core import copies, scalars
from cachekit.core.copiers import Copier, Filled, shared
from cachekit.core.copies import ATOMS, Follow, NotCopied

Parts = tuple[tuple[str, Copier], ...]
new = object.__new__
PLAIN_STATE = frozenset({"db", "adding", "fetch_mode", "fields_cache"})
"""What a ModelState may hold; in one that holds more, somebody has put what we do not know."""
_STATE = {ModelState}
_SPECIAL = frozenset(
    {"__new__", "__copy__", "__deepcopy__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__del__"}
    | {"__getnewargs__", "__getnewargs_ex__", "__getattribute__", "__setattr__"}
)


@lru_cache(maxsize=1024)
def is_plain(kind: type) -> bool:
    """Tell whether a class is a model whose instances are made, pickled and copied as Django does it, no other way."""
    if not issubclass(kind, models.Model):
        return False
    own = {name for one in kind.__mro__ if one not in models.Model.__mro__ for name in vars(one)}
    return own.isdisjoint(_SPECIAL) and not any(vars(one).get("__slots__") for one in kind.__mro__)


class Instances(copies.Family):
    """Model instances of classes that leave copying and pickling to Django."""

    def knows(self, kind: type) -> bool:
        """Tell whether a class is such a model."""
        return is_plain(kind)

    def copier(self, value: Any, follow: Follow) -> Copier:
        """Return a copier for instances of this class with the same attributes that can change."""
        kind: type = type(value)
        state = value.__dict__.get("_state")
        if type(state) is not ModelState or not PLAIN_STATE.issuperset(state.__dict__):
            raise NotCopied
        beside = state.__dict__.get("fields_cache")
        kinds = set(map(type, value.__dict__.values()))
        if not beside and ATOMS.issuperset(kinds - _STATE):
            return _flat(kind)
        parts = [(name, one) for name, one in value.__dict__.items() if type(one) not in ATOMS and one is not state]
        own = tuple((name, found) for name, one in parts if (found := follow(one)) is not None)
        related = [(name, follow(one) or shared) for name, one in (beside or {}).items()]
        return _Instance(kind, own, tuple(related))


@lru_cache(maxsize=1024)
def _flat(kind: type) -> _Instance:
    """Return the copier of instances that hold nothing but their columns."""
    return _Instance(kind, (), ())


class _Instance(Filled):
    """Copy instances of one class: their columns are shared, what can change is copied, the state is new."""

    __slots__ = ("_changing", "_related")

    def __init__(self, kind: type, own: Parts, related: Parts) -> None:
        super().__init__(kind, own, related)
        self._changing, self._related = own, related

    def fill(self, copy: Any, value: Any) -> None:
        """Put into a copy what the original holds."""
        attributes = value.__dict__.copy()
        held = attributes["_state"].__dict__.copy()
        if self._related:
            found = held["fields_cache"]
            held["fields_cache"] = {name: copier(found[name]) for name, copier in self._related}
        else:
            held["fields_cache"] = {}  # one of its own: Django 6.1 empties it when the instance goes
        for name, copier in self._changing:
            attributes[name] = copier(attributes[name])
        state = new(ModelState)
        state.__dict__ = held
        attributes["_state"] = state
        copy.__dict__ = attributes


copies.plug(Instances())
copies.declare_immutable(SafeString)
scalars.know_marked(SafeString)
for name in ("FETCH_ONE", "FETCH_PEERS", "FETCH_RAISE"):  # Django 6.1: how further columns are fetched
    if hasattr(models, name):
        copies.declare_immutable(type(getattr(models, name)))
