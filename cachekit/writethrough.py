"""`write_through`: after a commit the new value of what was saved is kept before anybody asks for it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar, overload

from asgiref.sync import async_to_sync
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import post_save

from cachekit.calls import Bound, Function
from cachekit.core.capture import capturing
from cachekit.modes import BYPASSING, entered, mode
from cachekit.readthrough import ReadThrough
from cachekit.stores import store_for

logger = logging.getLogger("cachekit.writethrough")

Target = TypeVar("Target")
ArgsOf = Callable[[Any], Any]
"""Returns the arguments for an instance: a tuple, or the only one; None where there is nothing to do."""


class Through(NamedTuple):
    """What is asked for after a write to an instance of a model."""

    model: type[Model] | str
    ask: Callable[..., Any]
    args: ArgsOf
    name: str


_known: list[Through] = []


def _primary_key(instance: Model) -> Any:
    return instance.pk


@overload
def write_through(model: type[Model] | str, target: Target, /, *, args: ArgsOf = ...) -> Target: ...


@overload
def write_through(model: type[Model] | str, /, *, args: ArgsOf = ...) -> Callable[[Target], Target]: ...


def write_through(model: type[Model] | str, target: Any = None, /, *, args: ArgsOf = _primary_key) -> Any:
    """Have a cached function, or a `ReadThrough`, asked for an instance right after the commit of each `save()` of it.

    `@write_through(Product)` above `@cached`, or `write_through(Product, products)`; a model may be named by its label.
    `args` takes the instance and returns the arguments: its primary key unless said otherwise. The saver waits for it;
    what fails is logged and never fails the save. `update()`, `bulk_create()` and deletions only invalidate.
    Raises TypeError for what is not cached, ImproperlyConfigured for a model that there is not.
    """
    if not isinstance(model, (type, str)):
        raise TypeError("@write_through takes its model: write @write_through(Product)")

    def register(target: Any) -> Any:
        one = Through(model, _asking(target), args, getattr(target, "name", "") or getattr(target, "__qualname__", ""))
        _known.append(one)
        if apps.models_ready:
            _model_of(one)
        post_save.connect(_saved, weak=False, dispatch_uid="cachekit.writethrough")
        return target

    return register if target is None else register(target)


def check() -> None:
    """Raise ImproperlyConfigured where a model was named that there is not."""
    for one in _known:
        _model_of(one)


def _asking(target: Any) -> Callable[..., Any]:
    """Return what asks for a value, and computes it if none is fresh; what a commit has left in the pipe goes first."""
    if isinstance(target, ReadThrough):
        return partial(_awaiting, target, target.aget) if target.awaits else target.get
    if isinstance(target, (Function, Bound)):
        return partial(_awaiting, target, target) if inspect.iscoroutinefunction(target) else target
    raise TypeError(f"@write_through is for cached functions: put it above @cached. This is none: {target!r:.80}")


def _awaiting(target: Any, function: Callable[..., Any], *args: Any) -> Any:
    store_for(target.alias).hear()  # awaited questions go over another connection than the commit's last words
    return async_to_sync(function)(*args)


def _model_of(one: Through) -> type[Model]:
    if not isinstance(one.model, str):
        return one.model
    try:
        return apps.get_model(one.model)
    except (LookupError, ValueError) as error:
        raise ImproperlyConfigured(f"write_through({one.model!r}) of {one.name}: {error}") from error


def _saved(sender: type[Model], instance: Model, using: str, raw: bool = False, **_: Any) -> None:
    """Note, for after the commit, what a saved instance has to do with."""
    if raw:
        return
    for one in _known:
        try:
            if not issubclass(_concrete(sender), _concrete(_model_of(one))):
                continue
            found = one.args(instance)
        except Exception:
            logger.exception("%s cannot be written through: its arguments are not known", one.name)
            continue
        if found is not None:
            args = found if isinstance(found, tuple) else (found,)
            transaction.on_commit(partial(_bring, one, args), using=using, robust=True)


def _bring(one: Through, args: tuple[Any, ...]) -> None:
    """Ask for a value after a commit; one that somebody has computed since the commit is left as it is."""
    if mode.get() in BYPASSING:
        return
    try:
        with entered(""), capturing(None):
            one.ask(*args)
    except Exception as error:  # noqa: BLE001 - what is saved is saved: the next reader computes
        logger.warning("%s%r was not written through: %r", one.name, args, error)


def _concrete(model: type[Model]) -> type[Model]:
    return model._meta.concrete_model or model
