"""`@cached`: keep what a function returns, called or awaited."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from asgiref.sync import iscoroutinefunction
from django.db.models import Model

from cachekit import engine, registry
from cachekit.core import keys
from cachekit.core.policy import Spec
from cachekit.exceptions import UncacheableValue
from cachekit.specs import Door, Options

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Cached(Protocol[P, R_co]):
    """A cached function: called like the original, with some more to ask of it."""

    __wrapped__: Callable[P, Any]
    tag: str
    """Invalidating this tag forgets every call."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Return the value kept for these arguments, computed if there is none that is fresh."""

    def key_for(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of this call."""

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget this call, whoever computes it just now."""

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Compute and store, whatever is kept."""


@overload
def cached(function: Callable[P, R_co], /) -> Cached[P, R_co]: ...


@overload
def cached(
    timeout: float | None = ..., /, *, key: Callable[..., Any] | None = ..., name: str = ..., **options: Unpack[Options]
) -> Callable[[Callable[P, R_co]], Cached[P, R_co]]: ...


def cached(first: Any = ..., /, *, key: Callable[..., Any] | None = None, name: str = "", **options: Any) -> Any:
    """Keep what a function returns: `@cached`, `@cached(600)`, `@cached(timeout=600, tags=("prices",))`.

    Works on `def` and `async def`. What the function reads through the ORM is captured: a write to any of it makes the
    entry stale. Arguments make the key; model instances count by primary key, and a write to their rows makes the entry
    stale too. `key(*args)` says what matters where an argument cannot be part of a key. `timeout` in seconds, None for
    no limit; other times as in `Policy`.
    Raises TypeError for generators, InvalidKey when called with what makes no key.
    """
    if callable(first) or isinstance(first, classmethod):
        return _wrapped(first, None, "", {})
    if first is not ...:
        options["timeout"] = first
    return lambda function: _wrapped(function, key, name, options)


def _wrapped(function: Callable[..., Any], key: Callable[..., Any] | None, name: str, options: dict[str, Any]) -> Any:
    if isinstance(function, (classmethod, staticmethod)):
        raise TypeError(f"Put @cached below @{type(function).__name__}, next to the function.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UncacheableValue(f"@cached cannot keep a generator: {function.__qualname__}. Return a list from it.")
    name = name or f"{function.__module__}.{getattr(function, '__qualname__', '<lambda>')}"
    door = Door("function", name, options)
    if "<lambda>" in name:
        raise UncacheableValue(
            "A lambda has no name of its own to keep its results by: say cached(name=…), or use def."
        )
    spec_for = _locating(function, key, door)
    if iscoroutinefunction(function):
        return _with_extras(_awaited(function, spec_for), door, spec_for)
    return _with_extras(_called(function, spec_for), door, spec_for)


def _locating(
    function: Callable[..., Any], key: Callable[..., Any] | None, door: Door
) -> Callable[[tuple[Any, ...], dict[str, Any]], Spec]:
    """Return what finds where a call is kept; plain positional arguments that were seen before cost no hashing."""
    frame = _framing(function, key)

    def spec_for(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Spec:
        if kwargs or key is not None:
            return made(args, kwargs)
        kinds = tuple(map(type, args))
        if not keys.EXACT.issuperset(kinds):
            return made(args, kwargs)
        ident = (args, kinds)
        spec = door.remembered(ident)
        if spec is None:
            spec = made(args, kwargs)
            if all(map(keys.is_short, args)):
                door.remember(ident, spec)
        return spec

    def made(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Spec:
        call = frame(args, kwargs)
        if not call:
            return door.spec()
        return door.spec(call, own_tags=(*_rows(args), *_rows(kwargs.values()), f"{door.tag}#{call}"))

    return spec_for


def _called(function: Callable[..., Any], spec_for: Callable[..., Spec]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return engine.get_or_set(spec_for(args, kwargs), lambda: function(*args, **kwargs))

    def refresh(*args: Any, **kwargs: Any) -> Any:
        with engine.refreshing():
            return call(*args, **kwargs)

    call.refresh = refresh  # type: ignore[attr-defined]
    return call


def _awaited(function: Callable[..., Any], spec_for: Callable[..., Spec]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        return await engine.aget_or_set(spec_for(args, kwargs), lambda: function(*args, **kwargs))

    async def refresh(*args: Any, **kwargs: Any) -> Any:
        with engine.refreshing():
            return await call(*args, **kwargs)

    call.refresh = refresh  # type: ignore[attr-defined]
    return call


def _with_extras(call: Any, door: Door, spec_for: Callable[..., Spec]) -> Any:
    def key_for(*args: Any, **kwargs: Any) -> str:
        return spec_for(args, kwargs).key

    def forget(*args: Any, **kwargs: Any) -> bool:
        return engine.invalidate(spec_for(args, kwargs).tags[-1], why="function", by=door.name)

    async def aforget(*args: Any, **kwargs: Any) -> bool:
        return await engine.ainvalidate(spec_for(args, kwargs).tags[-1], why="function", by=door.name)

    call.key_for, call.invalidate, call.ainvalidate, call.tag = key_for, forget, aforget, door.tag
    return cast("Any", call)


def _rows(arguments: Iterable[Any]) -> Iterator[str]:
    """Yield the tags of the rows that are passed: the function reads them without asking the database."""
    for one in arguments:
        if isinstance(one, Model):
            yield from registry.row_tags(one)


def _framing(
    function: Callable[..., Any], key: Callable[..., Any] | None
) -> Callable[[tuple[Any, ...], dict[str, Any]], str]:
    """Return what makes a call's arguments into a part of its key: the same for f(1), f(x=1) and defaults."""
    if key is not None:
        return lambda args, kwargs: keys.fingerprint(key(*args, **kwargs))
    signature = inspect.signature(function)
    plain = all(one.kind is one.POSITIONAL_OR_KEYWORD for one in signature.parameters.values())
    count = len(signature.parameters)

    def frame(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        if plain and not kwargs and len(args) == count:
            return keys.fingerprint(*args) if args else ""
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return keys.fingerprint(*bound.arguments.values()) if bound.arguments else ""

    return frame
