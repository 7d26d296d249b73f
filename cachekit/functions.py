"""`@cached`: keep what a function returns, called or awaited."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable
from functools import cached_property
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, Unpack, overload

from asgiref.sync import iscoroutinefunction

from cachekit.calls import AwaitedFunction, Function, Kind
from cachekit.core.missing import Missing
from cachekit.exceptions import UncacheableValue
from cachekit.specs import Door, Options

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
V = TypeVar("V")
S = TypeVar("S")

Nothing = Literal[Missing.MISSING]
Key = Callable[..., Any]


class Cached(Protocol[P, R]):
    """A cached function: called like the original, with some more to ask of it.

    `peek` returns the value kept for its arguments if it is fresh, else MISSING; nothing is computed. `get_many`
    returns the values of many calls, in their order, asked for in one round trip: an item is the only argument of a
    call, or a tuple of its arguments; keywords are those of every call. Both are awaited where the function is.
    """

    __wrapped__: Callable[P, Any]
    tag: str
    """Invalidating this tag forgets every call."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the value kept for these arguments, computed if there is none that is fresh."""

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Cached[P, R]: ...
    @overload
    def __get__(self: Cached[Concatenate[S, Q], V], instance: S, owner: type[Any]) -> Cached[Q, V]: ...

    def key_for(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of this call."""

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget this call, whoever computes it just now."""

    async def ainvalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Like `invalidate`."""

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute and store, whatever is kept."""

    @overload
    def peek(
        self: Cached[P, Coroutine[Any, Any, V]], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, V | Nothing]: ...
    @overload
    def peek(self, *args: P.args, **kwargs: P.kwargs) -> R | Nothing: ...

    @overload
    def get_many(
        self: Cached[P, Coroutine[Any, Any, V]], items: Iterable[Any], /, **kwargs: Any
    ) -> Coroutine[Any, Any, list[V]]: ...
    @overload
    def get_many(self, items: Iterable[Any], /, **kwargs: Any) -> list[R]: ...

    def batch(self, function: Callable[..., V]) -> Callable[..., V]:
        """Have a function compute what `get_many` does not find.

        It is given a list of items, which are tuples where calls have several arguments, and returns their values in
        this order, or a dict of values by item; those that it leaves out are computed one by one.
        """


@overload
def cached(function: Callable[P, R], /) -> Cached[P, R]: ...


@overload
def cached(
    timeout: float | None = ...,
    /,
    *,
    key: Key | None = ...,
    name: str = ...,
    batch: Callable[..., Any] | None = ...,
    **options: Unpack[Options],
) -> Callable[[Callable[P, R]], Cached[P, R]]: ...


def cached(
    first: Any = ...,
    /,
    *,
    key: Key | None = None,
    name: str = "",
    batch: Callable[..., Any] | None = None,
    **options: Any,
) -> Any:
    """Keep what a function returns: `@cached`, `@cached(600)`, `@cached(timeout=600, tags=("prices",))`.

    Works on `def` and `async def`, on methods, above or below `@classmethod` and `@staticmethod`, and below
    `@property`. What the function reads through the ORM is captured: a write to any of it makes the entry stale.
    Arguments make the key; model instances count by primary key, are read again when the function is computed, and a
    write to their rows makes the entry stale too. `key(*args)` says what matters where an argument cannot be part of
    a key. `batch` computes what `get_many` does not find. `timeout` in seconds, None for no limit; other times as in
    `Policy`. Raises TypeError for generators and properties, InvalidKey when called with what makes no key.
    """
    if callable(first) or isinstance(first, (classmethod, staticmethod, property, cached_property)):
        return _wrapped(first, None, "", {})
    if first is not ...:
        options["timeout"] = first

    def decorate(function: Any) -> Any:
        found = _wrapped(function, key, name, options)
        if batch is not None:
            found.batch(batch)
        return found

    return decorate


def _wrapped(given: Any, key: Key | None, name: str, options: dict[str, Any]) -> Function:
    function, binds = _unwrapped(given)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UncacheableValue(f"@cached cannot keep a generator: {function.__qualname__}. Return a list from it.")
    name = name or f"{function.__module__}.{getattr(function, '__qualname__', '<lambda>')}"
    door = Door("function", name, options)
    if "<lambda>" in name:
        raise UncacheableValue(
            "A lambda has no name of its own to keep its results by: say cached(name=…), or use def."
        )
    kind = AwaitedFunction if iscoroutinefunction(function) else Function
    return kind(function, door, Kind(key, binds))


def _unwrapped(given: Any) -> tuple[Callable[..., Any], str]:
    """Return the function inside what a class body gave, and what it is bound to. Raises TypeError."""
    if isinstance(given, property):
        raise TypeError("Put @cached below @property, next to the function; its .fget is the cached function.")
    if isinstance(given, cached_property):
        raise TypeError(
            "@cached_property keeps a value in its instance, where no write reaches it. Write @property above @cached."
        )
    if isinstance(given, classmethod):
        return given.__func__, "class"
    if isinstance(given, staticmethod):
        return given.__func__, "nothing"
    return given, "instance"
