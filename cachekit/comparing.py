"""Tell whether two values are alike: model instances by their columns, pages by what a visitor sees."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from django.db.models import Model, QuerySet
from django.http import HttpResponse

Seen: TypeAlias = set[tuple[int, int]]


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are alike all the way down.

    `==` says too much of model instances (the same primary key), and too little of querysets (the same object).
    """
    return _same(one, other, set())


def _same(one: Any, other: Any, seen: Seen) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    pair = (id(one), id(other))
    if pair in seen:  # a circle, or looked at already
        return True
    seen.add(pair)
    for kind, parts in _PARTS:
        if isinstance(one, kind):
            return _all_same(parts(one), parts(other), seen)
    if dataclasses.is_dataclass(one):
        return _all_same(_fields(one), _fields(other), seen)
    return _equal(one, other, seen)


def _all_same(ones: Any, others: Any, seen: Seen) -> bool:
    if isinstance(ones, Mapping):
        return ones.keys() == others.keys() and all(_same(ones[key], others[key], seen) for key in ones)
    return len(ones) == len(others) and all(_same(a, b, seen) for a, b in zip(ones, others, strict=True))


def _equal(one: Any, other: Any, seen: Seen) -> bool:
    """Ask `==`; where a class has none of its own, look at what its instances hold."""
    try:
        if one == other or (one != one and other != other):  # noqa: PLR0124 - what is not a number
            return True
        if any("__eq__" in vars(kind) for kind in type(one).__mro__[:-1]):
            return False
        if hasattr(one, "__dict__"):
            return _all_same(vars(one), vars(other), seen)
    except Exception:  # noqa: BLE001, S110 - arrays have no truth, and an `==` may fail in any way
        pass
    return _pickled(one) == _pickled(other)


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 - what does not pickle was never in a cache: it is like nothing else
        return repr(id(value)).encode()


def _row(one: Model) -> Mapping[str, Any]:
    """Return an instance's columns and whatever was fetched with it; which instance it is does not matter."""
    held = {name: value for name, value in vars(one).items() if name != "_state"}
    return {**held, "_state.fields_cache": getattr(one._state, "fields_cache", {})}


def _rows(queryset: QuerySet[Any, Any]) -> list[Any]:
    return list(queryset._result_cache or ())


def _page(response: HttpResponse) -> tuple[int, bytes]:
    return response.status_code, response.content


def _fields(one: Any) -> dict[str, Any]:
    return {field.name: getattr(one, field.name, None) for field in dataclasses.fields(one)}


def _itself(one: Any) -> Any:
    return one


_PARTS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (dict, _itself),
    ((list, tuple), _itself),
    (Model, _row),
    (QuerySet, _rows),
    (HttpResponse, _page),
)
