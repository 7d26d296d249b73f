"""Make keys of values by all that they hold: of instances by their columns, not by which row they are.

What is computed from such a value and from the database depends on the database alone: how old the value is does not
matter, for another value has another key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db.models import Model, QuerySet
from django.db.models.fields.files import FieldFile
from django.utils.functional import LazyObject, Promise, empty
from rest_framework.permissions import OperandHolder, SingleOperandHolder

from cachekit.core import keys
from cachekit.exceptions import InvalidKey

PREFETCHED = "_prefetched_objects_cache"
_name = itemgetter(0)
REMEMBERED = frozenset({"_perm_cache", "_user_perm_cache", "_group_perm_cache"})
"""What Django's auth remembers on a user; whoever computes asks for it again."""
NO_COLUMNS = REMEMBERED | {"_state", PREFETCHED}

PLAIN = frozenset({int, str, bytes, bool, type(None), float, Decimal, UUID, date, time, datetime, timedelta})
"""Types, no subclasses, whose values are told by `repr` as they are told to nobody else; in a third of the time."""

Seen = dict[int, int]


def framed(value: Any) -> bytes:
    """Encode a value with all that it holds. Raises InvalidKey for what cannot be told from another."""
    return _framed(value, {})


def _framed(value: Any, seen: Seen) -> bytes:
    if type(value) in keys.EXACT:
        return keys.framed(value)
    value = _meant(value)
    if isinstance(value, Model):
        return _instance(value, seen)
    if isinstance(value, QuerySet):
        return _rows(value, seen)
    return _container(value, seen) or keys.framed(value)


def _meant(value: Any) -> Any:
    """Return what a value stands for."""
    if isinstance(value, LazyObject):
        return opened(value)
    if isinstance(value, FieldFile):
        return "file", value.name
    if isinstance(value, (OperandHolder, SingleOperandHolder)):  # `IsAdminUser | ReadOnly`
        return vars(value)
    return str(value) if isinstance(value, Promise) else value


def opened(value: Any) -> Any:
    """Return what a lazy object stands for."""
    if not isinstance(value, LazyObject):
        return value
    if value.__dict__.get("_wrapped", empty) is empty:
        bool(value)
    return value.__dict__["_wrapped"]


def _container(value: Any, seen: Seen) -> bytes:
    if isinstance(value, (list, tuple)):
        return _joined(type(value).__name__, (_framed(one, seen) for one in value))
    if isinstance(value, Mapping):
        items = sorted((keys.framed(key), one) for key, one in _items(value))
        return _joined("map", (key + _framed(one, seen) for key, one in items))
    if isinstance(value, (set, frozenset)):
        return keys.framed(value)
    return b""


def _items(value: Mapping[Any, Any]) -> Iterable[tuple[Any, Any]]:
    found: Iterable[tuple[Any, Any]] = getattr(value, "lists", value.items)()  # a QueryDict holds more than its items
    return found


def _instance(one: Model, seen: Seen) -> bytes:
    """Encode an instance's columns, whatever else was put on it, and the instances that were fetched with it."""
    if id(one) in seen:  # its children know their parent
        return b"again(%d)" % seen[id(one)]
    seen[id(one)] = len(seen)
    held = vars(one)
    state = held["_state"]
    columns = sorted([item for item in held.items() if item[0] not in NO_COLUMNS], key=_name)
    plain = PLAIN.issuperset([type(value) for _, value in columns])
    told = columns if plain else [name for name, _ in columns]
    parts = [keys.framed(repr((one._meta.label_lower, state.db, state.adding, told)))]
    if not plain:
        parts += [_framed(value, seen) for _, value in columns]
    for group in (state.__dict__.get("fields_cache") or {}, held.get(PREFETCHED) or {}):
        parts += [b"%b:%b" % (str(name).encode(), _framed(group[name], seen)) for name in sorted(group)]
    return _joined("instance", parts)


def _rows(queryset: QuerySet[Any, Any], seen: Seen) -> bytes:
    rows = queryset._result_cache
    if rows is None:
        raise InvalidKey(f"A queryset of {queryset.model._meta.label} that was not read yet makes no key.")
    return _joined("rows", (_framed(one, seen) for one in rows))


def _joined(kind: str, pieces: Iterable[bytes]) -> bytes:
    body = b"".join(pieces)
    return b"%b(%d)%b" % (kind.encode(), len(body), body)
