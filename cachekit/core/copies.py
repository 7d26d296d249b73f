"""Copies of values: what cannot change is handed out as it is, what can change by the cheapest copy that is right."""

from __future__ import annotations

import datetime
import decimal
import threading
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, TypeAlias

Copier: TypeAlias = Callable[[Any], Any]
Follow: TypeAlias = Callable[[Any], "Copier | None"]
"""Returns how to copy a part, None to share it. Raises NotCopied."""
MAX_DEPTH = 32
"""Deeper values are decoded each time; a tuple this deep no longer counts as immutable."""

ATOMS: set[type] = {str, bytes, int, float, complex, bool, type(None), decimal.Decimal, uuid.UUID}
"""Classes whose instances hold nothing that can change; subclasses do not count, for they may hold more."""
ATOMS |= {datetime.date, datetime.timedelta, datetime.timezone, zoneinfo.ZoneInfo}
_ZONED = (datetime.datetime, datetime.time)
_families: list[Family] = []


class NotCopied(Exception):
    """A value holds something that only its codec knows how to make."""


class Family:
    """How to copy the instances of some classes; `plug` makes one known."""

    def knows(self, kind: type) -> bool:
        """Tell whether instances of exactly this class are copied here."""
        raise NotImplementedError

    def copier(self, value: Any, follow: Follow) -> Copier:
        """Return a copier for this value and those of the same shape; `follow` finds one for a part."""
        raise NotImplementedError


def plug(family: Family) -> None:
    """Have instances of further classes copied."""
    _families[:] = [one for one in _families if type(one) is not type(family)] + [family]


def declare_immutable(*kinds: type) -> None:
    """Have instances of exactly these classes handed out as they are."""
    ATOMS.update(kinds)


def is_immutable(value: Any) -> bool:
    """Tell whether nobody can change a value: plain scalars, dates, and tuples and frozensets of them."""
    return type(value) in ATOMS or _is_frozen(value, MAX_DEPTH)


def copier_for(value: Any) -> Copier | None:
    """Return how to copy a value, None where it must be decoded anew from its payload.

    The copier is for this very value, which nobody may change from now on: it has been looked through once, and copies
    share what cannot change. Like pickle it keeps what is one object in two places one object.
    """
    if is_immutable(value):
        return shared
    try:
        survey = _Survey(frozenset())
        found = survey.follow(value)
        if survey.repeated:
            found = _Afresh(_Survey(frozenset(survey.repeated)).follow(value) or shared)
    except NotCopied:
        return None
    return found or shared


def shared(value: Any) -> Any:
    """Copy what cannot change: return it."""
    return value


def _is_frozen(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in _ZONED:
        return type(value.tzinfo) in ATOMS
    if kind is tuple or kind is frozenset:
        return ATOMS.issuperset(map(type, value)) or (
            depth > 0 and all(type(one) in ATOMS or _is_frozen(one, depth - 1) for one in value)
        )
    return False


class _Survey:
    """One look through a value: how each part is copied, and which are held twice.

    What is known to be held twice, from the look before, is copied once for all its holders.
    """

    def __init__(self, twice: frozenset[int]) -> None:
        self.repeated: set[int] = set()
        self._twice = twice
        self._seen: dict[int, Copier] = {}
        self._open: set[int] = set()
        self._made: dict[Copier, Copier] = {}

    def follow(self, value: Any) -> Copier | None:
        """Return how to copy a part, None to share it. Raises NotCopied."""
        kind, ident = type(value), id(value)
        if kind in ATOMS or (kind not in _OPEN_KINDS and _is_frozen(value, MAX_DEPTH)):
            return None
        if ident in self._seen:
            self.repeated.add(ident)
            return self._seen[ident]
        if ident in self._open or len(self._open) >= MAX_DEPTH:  # it holds itself, or is too deep
            raise NotCopied
        self._open.add(ident)
        found = self._container(kind, value)
        self._open.discard(ident)
        if ident in self._twice:
            found = self._once(_Remembered(found))
        self._seen[ident] = found
        return found

    def _container(self, kind: type, value: Any) -> Copier:
        if kind is list:
            return self._sequence(list, list.copy, value)
        if kind is dict:
            return self._mapping(value)
        if kind is tuple:
            return self._sequence(tuple, shared, value)
        if kind is set and _is_frozen(frozenset(value), MAX_DEPTH):
            return set.copy
        for family in _families:
            if family.knows(kind):
                return self._once(family.copier(value, self.follow))
        raise NotCopied

    def _sequence(self, kind: type, flat: Copier, value: Any) -> Copier:
        """Return the copier of a list or tuple; most are flat, or of one shape throughout."""
        if ATOMS.issuperset(map(type, value)):
            return flat
        parts = [self.follow(one) for one in value]
        if not any(parts):
            return flat
        if parts.count(parts[0]) == len(parts):
            return self._once(_Each(kind, parts[0] or shared))
        return self._once(_Every(kind, tuple(one or shared for one in parts)))

    def _mapping(self, value: dict[Any, Any]) -> Copier:
        if not ATOMS.issuperset(map(type, value)) and not all(map(is_immutable, value)):
            raise NotCopied
        if ATOMS.issuperset(map(type, value.values())):
            return dict.copy
        parts = [(key, found) for key, one in value.items() if (found := self.follow(one)) is not None]
        return self._once(_Items(tuple(parts))) if parts else dict.copy

    def _once(self, copier: Copier) -> Copier:
        """Return the copier of the same shape that was made before, so that ten thousand rows share one."""
        return self._made.setdefault(copier, copier)


_OPEN_KINDS = frozenset({list, dict})


class Shape:
    """A copier that is told from others by its class and its parts."""

    __slots__ = ("_hash", "_said")

    def __init__(self, *said: Any) -> None:
        self._said = said
        self._hash = hash((type(self), said))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Shape) and type(self) is type(other) and self._said == other._said)

    def __hash__(self) -> int:
        return self._hash

    def __call__(self, value: Any) -> Any:
        """Return a copy."""
        raise NotImplementedError


class _Each(Shape):
    """Copy a list or tuple whose items are all of one shape."""

    __slots__ = ("_item", "_kind")

    def __init__(self, kind: type, item: Copier) -> None:
        super().__init__(kind, item)
        self._kind, self._item = kind, item

    def __call__(self, value: Any) -> Any:
        return self._kind(map(self._item, value))


class _Every(Shape):
    """Copy a list or tuple whose items are of several shapes."""

    __slots__ = ("_items", "_kind")

    def __init__(self, kind: type, items: tuple[Copier, ...]) -> None:
        super().__init__(kind, items)
        self._kind, self._items = kind, items

    def __call__(self, value: Any) -> Any:
        return self._kind([copier(one) for copier, one in zip(self._items, value, strict=True)])


class _Items(Shape):
    """Copy a dict some of whose values can change."""

    __slots__ = ("_items",)

    def __init__(self, items: tuple[tuple[Any, Copier], ...]) -> None:
        super().__init__(items)
        self._items = items

    def __call__(self, value: dict[Any, Any]) -> dict[Any, Any]:
        copy = value.copy()
        for key, copier in self._items:
            copy[key] = copier(value[key])
        return copy


class _Scene(threading.local):
    """The copies made so far in the copying that goes on in this thread, by the identity of the originals."""

    made: dict[int, Any]

    def __init__(self) -> None:
        self.made = {}


_scene = _Scene()


class _Afresh(Shape):
    """Copy a value that holds something twice."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Copier) -> None:
        super().__init__(inner)
        self._inner = inner

    def __call__(self, value: Any) -> Any:
        outer, _scene.made = _scene.made, {}
        try:
            return self._inner(value)
        finally:
            _scene.made = outer


class _Remembered(Shape):
    """Copy what is held twice: the second holder is given the first one's copy."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Copier) -> None:
        super().__init__(inner)
        self._inner = inner

    def __call__(self, value: Any) -> Any:
        made, ident = _scene.made, id(value)
        copy = made.get(ident)
        if copy is None:
            copy = made[ident] = self._inner(value)
        return copy
