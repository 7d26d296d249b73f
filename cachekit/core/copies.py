"""Copies of values: what cannot change is handed out as it is, what can change by the cheapest copy that is right."""

from __future__ import annotations

import datetime
import decimal
import uuid
import zoneinfo
from collections.abc import Callable
from itertools import chain
from typing import Any, TypeAlias

from cachekit.core.copiers import Afresh, Copier, Each, Every, Items, Remembered, begun, shared

__all__ = [
    "ATOMS",
    "Copier",
    "Family",
    "NotCopied",
    "copier_for",
    "declare_immutable",
    "is_immutable",
    "plug",
    "shared",
]

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
            found = Afresh(_Survey(frozenset(survey.repeated)).follow(value) or shared)
    except NotCopied:
        return None
    return found or shared


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
        if ident in self._open and kind not in _BUILT_IN:
            self.repeated.add(ident)
            return begun
        if ident in self._open or len(self._open) >= MAX_DEPTH:  # it holds itself, or is too deep
            raise NotCopied
        self._open.add(ident)
        found = self._container(kind, value)
        self._open.discard(ident)
        if ident in self._twice:
            found = self._once(Remembered(found))
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
        kinds = set(map(type, value))
        if kinds <= ATOMS:
            return flat
        if kinds == _ROWS and self._are_flat(value):
            return self._once(Each(kind, dict.copy))
        parts = [self.follow(one) for one in value]
        if not any(parts):
            return flat
        if parts.count(parts[0]) == len(parts):
            return self._once(Each(kind, parts[0] or shared))
        return self._once(Every(kind, tuple(one or shared for one in parts)))

    def _are_flat(self, rows: Any) -> bool:
        """Tell, all at once, whether dicts hold nothing that can change, and nobody else holds one of them."""
        idents = set(map(id, rows))
        if len(idents) < len(rows) or not (self._twice.isdisjoint(idents) and self._seen.keys().isdisjoint(idents)):
            return False
        pieces = chain(chain.from_iterable(rows), chain.from_iterable(map(dict.values, rows)))
        if not ATOMS.issuperset(map(type, pieces)):
            return False
        self._seen.update(dict.fromkeys(idents, dict.copy))
        return True

    def _mapping(self, value: dict[Any, Any]) -> Copier:
        if not ATOMS.issuperset(map(type, value)) and not all(map(is_immutable, value)):
            raise NotCopied
        if ATOMS.issuperset(map(type, value.values())):
            return dict.copy
        parts = [(key, found) for key, one in value.items() if (found := self.follow(one)) is not None]
        return self._once(Items(tuple(parts))) if parts else dict.copy

    def _once(self, copier: Copier) -> Copier:
        """Return the copier of the same shape that was made before, so that ten thousand rows share one."""
        return self._made.setdefault(copier, copier)


_OPEN_KINDS = frozenset({list, dict})
_ROWS = {dict}
_BUILT_IN = frozenset({list, dict, tuple})
