"""Tell whether a queryset asks for all rows of its model and nothing beside, with Django's own methods."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

import django
from django.db.models import QuerySet
from django.db.models.query import ModelIterable
from django.db.models.sql import Query

FETCH_ONE: Any = None
"""How Django 6.1 fetches what is missing, unless told otherwise; releases before know one way only."""
if django.VERSION >= (6, 1):
    FETCH_ONE = import_module("django.db.models.fetch_modes").FETCH_ONE

_PASSED = frozenset({"filter", "exclude", "order_by", "query", "db", "get_queryset"})
"""Public names that `get()` comes by on its way to the database, beside whatever is private."""
_HARMLESS = frozenset(
    {
        "__module__",
        "__doc__",
        "__qualname__",
        "__annotations__",
        "__orig_bases__",
        "__parameters__",
        "__firstlineno__",
        "__static_attributes__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "_queryset_class",
        "_built_with_as_manager",
    }
)
_known: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def is_bare(queryset: Any) -> bool:
    """Tell whether a queryset is as its manager made it."""
    return (
        queryset._iterable_class is ModelIterable
        and not queryset._prefetch_related_lookups
        and not queryset._known_related_objects
        and not queryset._for_write  # noqa: SLF001 - a queryset's, as are the others
        and getattr(queryset, "_fetch_mode", FETCH_ONE) is FETCH_ONE
        and adds_only(type(queryset))
        and _is_untouched(queryset.query)
    )


def adds_only(kind: Any) -> bool:
    """Tell whether a class of querysets or managers leaves alone whatever leads to the database."""
    found = _known.get(kind)
    if found is None:
        found = _known[kind] = _adds_only(kind)
    return found


def _adds_only(kind: type) -> bool:
    """Look at every class: a mixin behind ours in the bases is called by ours."""
    for one in kind.__mro__:
        if one is object or one.__module__.startswith(("cachekit.orm.", "django.db.models.")):
            continue
        for name in vars(one).keys() - _HARMLESS:
            if name in _PASSED or (name.startswith("_") and hasattr(QuerySet, name)):
                return False
    return True


def _is_untouched(query: Any) -> bool:
    """Tell whether a query is as new: whatever it holds is empty, or what the class says."""
    if type(query) is not Query:
        return False
    for name, value in vars(query).items():
        expected = True if name == "alias_cols" else getattr(Query, name, None)
        if value and value is not expected and name not in ("model", "base_table"):
            return False
    return True
