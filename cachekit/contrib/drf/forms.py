"""A short text for what a serializer makes of objects: it changes when fields or methods do, as with a release."""

from __future__ import annotations

from functools import lru_cache
from types import CodeType
from typing import Any

from rest_framework.serializers import BaseSerializer, ListSerializer

from cachekit.core.keys import fingerprint

DYNAMIC = frozenset(
    {"__init__", "__new__", "fields", "_readable_fields", "get_fields", "get_field_names", "get_extra_kwargs"}
)
"""What a class has that chooses its fields anew for each serializer."""
OURS = ("rest_framework.", "cachekit.contrib.drf.")


def form_of(serializer: Any) -> str:
    """Return the form of a serializer; of one whose fields nobody has touched that of its class."""
    kind: Any = type(serializer)
    if "fields" not in vars(serializer) and is_fixed(kind):
        return class_form(kind)
    fields = tuple(serializer.fields.values())
    known: Any = vars(serializer).get("_cachekit_form")
    if known is None or list(map(id, known[0])) != list(map(id, fields)):
        known = serializer._cachekit_form = fields, fingerprint(class_code(kind), _told(serializer))  # noqa: SLF001 - ours
    return str(known[1])


@lru_cache(maxsize=1024)
def class_form(kind: Any) -> str:
    """Return the form of a class of serializers."""
    return fingerprint(class_code(kind), _told(kind()))


def _told(serializer: Any) -> list[tuple[str, str]]:
    """Return the fields as they were declared; to tell a serializer would tell its object and context too."""
    return [(name, repr(field)) for name, field in serializer.fields.items()]


@lru_cache(maxsize=1024)
def is_fixed(kind: Any) -> bool:
    """Tell whether all serializers of a class have the same fields, and so on for the serializers in them."""
    for one in kind.__mro__:
        if not one.__module__.startswith(OURS) and one is not object:
            names = vars(one)
            if not DYNAMIC.isdisjoint(names) or any(name.startswith(("build_", "include_")) for name in names):
                return False
    return all(map(is_fixed, map(_class, _inner(kind()))))


@lru_cache(maxsize=1024)
def class_code(kind: Any) -> str:
    """Return a short text that changes with a class's methods, and with those of the serializers in it."""
    parts = [
        (one.__module__, one.__qualname__, name, _code(value))
        for one in kind.__mro__
        if not one.__module__.startswith(OURS)
        for name, value in sorted(vars(one).items())
        if hasattr(value, "__code__")
    ]
    inner = [class_code(_class(one)) for one in _inner(kind())] if is_fixed(kind) else []
    return fingerprint(kind.__module__, kind.__qualname__, parts, inner)


def _inner(serializer: Any) -> list[Any]:
    """Return the serializers among the fields of one."""
    fields = getattr(serializer, "fields", {}).values()
    inner = [one.child if isinstance(one, ListSerializer) else one for one in fields]
    return [one for one in inner if isinstance(one, BaseSerializer) and type(one) is not type(serializer)]


def _class(one: Any) -> Any:
    return type(one)


def _code(function: Any) -> Any:
    code = function if isinstance(function, CodeType) else function.__code__
    constants = [_code(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return code.co_code, code.co_names, constants
