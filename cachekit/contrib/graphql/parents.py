"""Whether what a resolver's parent holds is what the database says: it was read before, nobody knows when."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

_ITS_OWN = frozenset({"_state", "_prefetched_objects_cache"})


def doubt(parent: Model) -> str:
    """Return why a value that was made with this parent may be older than it seems, or nothing. Asks the database.

    Rows that came with the parent, by select_related() perhaps, are looked at too.
    """
    seen: dict[int, Any] = {}
    front: list[Any] = [parent]
    while front:
        one = front.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if reason := _doubt(one):
            return reason
        front += [other for other in one._state.fields_cache.values() if isinstance(other, Model)]
    return ""


def _doubt(one: Any) -> str:
    label = one._meta.label
    if getattr(one, "_prefetched_objects_cache", None):
        return f"its parent, a {label}, came with prefetched rows"
    if more := sorted(one.__dict__.keys() - set(_columns(one)) - _ITS_OWN):
        return f"its parent, a {label}, holds more than columns: {', '.join(more)}"
    return "" if stands(one) else f"its parent, a {label}, has changed since it was read"


def stands(one: Any) -> bool:
    """Tell whether the database has the very columns that an instance holds."""
    columns = _columns(one)
    rows = type(one)._base_manager.using(one._state.db).filter(pk=one.pk).order_by().values_list(*columns)[:1]
    return list(rows) == [tuple(one.__dict__[name] for name in columns)]


def _columns(one: Any) -> list[str]:
    return [field.attname for field in one._meta.concrete_fields if field.attname in one.__dict__]
