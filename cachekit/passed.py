"""Model instances that are passed to a cached function: what rows they stand for, and how they are read again.

What an instance holds was read before the computation began: stored, it would pass for news. So the function is given
the rows as the database has them now, read while its reads are captured; whatever hangs on them it reads itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.exceptions import SynchronousOnlyOperation
from django.db import router
from django.db.models import Model, QuerySet

from cachekit import registry
from cachekit.core.capture import current
from cachekit.databases import primary_of

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
_Place = tuple[type[Model], str]
_FLAT = (list, tuple, set, frozenset)


def row_tags(arguments: Iterable[Any]) -> Iterator[str]:
    """Yield the tags of the rows among arguments, and among what lists, tuples, sets and dicts of them hold."""
    for one in instances(arguments):
        yield from registry.row_tags(one)


def instances(arguments: Iterable[Any]) -> Iterator[Any]:
    """Yield the model instances among arguments, those in containers too."""
    for one in arguments:
        if isinstance(one, Model):
            yield one
        elif isinstance(one, _FLAT):
            yield from instances(one)
        elif type(one) is dict:
            yield from instances(one.values())


def read_again(calls: list[Arguments]) -> list[Arguments]:
    """Return the arguments of calls with their instances as the database has them: one query for each model."""
    wanted = _Wanted(calls)
    try:
        for place, rows in wanted.queries():
            wanted.take(place, rows)
    except (
        SynchronousOnlyOperation
    ):  # called, not awaited, on an event loop: they are given as they are, and not stored
        pass
    return wanted.given()


def renewed(value: Any) -> Any:
    """Return what a template was given as the database has it now; the same where there is nothing to read again.

    A queryset that was evaluated is evaluated anew. What hangs on an instance and is no column goes with it.
    """
    if isinstance(value, QuerySet):
        return value if value._result_cache is None else value.all()
    if current.get() is None or not any(instances((value,))):
        return value
    (((found,), _),) = read_again([((value,), {})])
    before = {(_place(one), one.pk): vars(one) for one in instances((value,))}
    for new in instances((found,)):
        hung = before[_place(new), new.pk]
        vars(new).update({name: held for name, held in hung.items() if name not in vars(new) and name[:1] != "_"})
    return found


async def aread_again(calls: list[Arguments]) -> list[Arguments]:
    """Like `read_again`."""
    wanted = _Wanted(calls)
    for place, rows in wanted.queries():
        wanted.take(place, [one async for one in rows])
    return wanted.given()


class _Wanted:
    """The instances that are to be read again, and those that were."""

    def __init__(self, calls: list[Arguments]) -> None:
        self._calls = calls
        self._asked: dict[_Place, set[Any]] = {}
        self._found: dict[tuple[_Place, Any], Model] = {}
        if current.get() is None:  # nothing is stored of what is computed
            return
        for args, kwargs in calls:
            for one in (*instances(args), *instances(kwargs.values())):
                if not one._state.adding:
                    self._asked.setdefault(_place(one), set()).add(one.pk)

    def queries(self) -> Iterator[tuple[_Place, QuerySet[Model, Model]]]:
        """Yield what to ask the database."""
        for (model, using), keys in self._asked.items():
            rows = model._base_manager.using(using)
            yield (model, using), rows.filter(pk=keys.pop()) if len(keys) == 1 else rows.filter(pk__in=keys)

    def take(self, place: _Place, rows: Iterable[Model]) -> None:
        """Note what the database has."""
        self._found.update({(place, one.pk): one for one in rows})

    def given(self) -> list[Arguments]:
        """Return the arguments for the function."""
        if current.get() is None:
            return self._calls
        return [
            (tuple(map(self._renewed, args)), {name: self._renewed(one) for name, one in kwargs.items()})
            for args, kwargs in self._calls
        ]

    def _renewed(self, value: Any) -> Any:
        if isinstance(value, Model):
            found = self._found.get((_place(value), value.pk))
            if found is None and (capture := current.get()) is not None:
                capture.refuse(f"an instance of {value._meta.label} was passed that could not be read again")
            return value if found is None else found
        if type(value) in _FLAT and any(instances(value)):
            return type(value)(map(self._renewed, value))
        if hasattr(value, "_make") and any(instances(value)):  # a named tuple
            return value._make(map(self._renewed, value))
        if type(value) is dict and any(instances(value.values())):
            return {key: self._renewed(one) for key, one in value.items()}
        return value


def _place(instance: Any) -> _Place:
    """Return the model of an instance, which may be hidden behind a proxy object, and where its row is written."""
    model = instance._meta.model
    return model, primary_of(instance._state.db or router.db_for_write(model, instance=instance))
