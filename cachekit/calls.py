"""Cached functions as objects: called or awaited, bound to instances and classes, asked for many calls at once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import CodeType, MethodType
from typing import Any, NamedTuple

from cachekit import engine, gathering, passed
from cachekit.core import keys
from cachekit.core.missing import MISSING
from cachekit.framing import Args, Kwargs, asked_for, in_order, item_of, locating
from cachekit.specs import Door

EXTRAS = frozenset({"key_for", "invalidate", "ainvalidate", "refresh", "peek"})
"""What can be asked of a cached function and takes its arguments."""


class Kind(NamedTuple):
    """What a function is: how its arguments make a key, and what it is bound to in a class body."""

    key: Callable[..., Any] | None = None
    binds: str = "instance"
    """`instance`, `class` or `nothing`."""
    advice: str = ""
    """What to do about an argument that makes no key, where that is not to name another by `key`."""


class Function:
    """A cached function: called like the original, with some more to ask of it."""

    __defaults__ = None
    __kwdefaults__ = None
    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[..., Any], door: Door, kind: Kind) -> None:
        self.__name__ = self.__qualname__ = door.name  # which objects that are called have not
        functools.update_wrapper(self, function)
        self._function = function
        self._door = door
        self._binds = kind.binds
        self._batch: Callable[..., Any] | None = None
        self._spec_for = locating(function, kind.key, door, kind.advice)
        self.tag = door.tag

    @property
    def __code__(self) -> CodeType:
        """Return code of the same kind as the function's, by which `inspect` tells what is awaited."""
        return _called.__code__

    @property
    def alias(self) -> str:
        """Return the alias of CACHES that it uses."""
        return self._door.alias

    def __repr__(self) -> str:
        return f"<cached {self.__qualname__}>"

    def __reduce__(self) -> str:
        return self.__qualname__

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        if self._binds == "class":
            return Bound(self, type(instance) if owner is None else owner)
        if self._binds == "nothing" or instance is None:
            return self
        if instance is owner:  # how `classmethod` binds before Python 3.13; from then on as here
            return MethodType(self, instance)
        return Bound(self, instance)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the value kept for these arguments, computed if there is none that is fresh."""
        return engine.get_or_set(self._spec_for(args, kwargs), partial(self._compute, args, kwargs))

    def refresh(self, /, *args: Any, **kwargs: Any) -> Any:
        """Compute and store, whatever is kept."""
        with engine.refreshing():
            return self(*args, **kwargs)

    def peek(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the value kept for these arguments if it is fresh, else MISSING; nothing is computed."""
        answer = engine.peek(self._spec_for(args, kwargs))
        return MISSING if answer is None else answer.value

    def get_many(self, items: Iterable[Any], /, **kwargs: Any) -> Any:
        """Return the values of many calls, in their order, asked for in one round trip."""
        return self.many((), items, kwargs)

    def key_for(self, /, *args: Any, **kwargs: Any) -> str:
        """Return the key of this call."""
        return self._spec_for(args, kwargs).key

    def invalidate(self, /, *args: Any, **kwargs: Any) -> bool:
        """Forget this call, whoever computes it just now."""
        return engine.invalidate(self._spec_for(args, kwargs).tags[-1], why="function", by=self._door.name)

    async def ainvalidate(self, /, *args: Any, **kwargs: Any) -> bool:
        """Like `invalidate`."""
        return await engine.ainvalidate(self._spec_for(args, kwargs).tags[-1], why="function", by=self._door.name)

    def batch(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Have a function compute what `get_many` does not find: it gets a list of items, and returns their values."""
        awaits, awaited = inspect.iscoroutinefunction(self), inspect.iscoroutinefunction(function)
        if awaits != awaited:
            said = ("async def", "def") if awaits else ("def", "async def")
            raise TypeError(f"{self.__qualname__} is {said[0]}, its batch function {said[1]}. Write both in one way.")
        self._batch = function
        return function

    def many(self, prefix: Args, items: Iterable[Any], kwargs: Kwargs) -> Any:
        """Like `get_many`, with arguments that stand before those of each item."""
        asked, values = asked_for(self._spec_for, prefix, items, kwargs), {}
        for names in asked.chunks():
            specs, calls = [asked.specs[name] for name in names], [asked.args[name] for name in names]
            produce = None if self._batch is None else partial(self._computed, calls, kwargs)
            found = gathering.gather(specs, produce, together=True)
            if found is None and produce is not None and not gathering.shadows():
                with gathering.apart(specs):
                    found = [value for value, _ in produce((*range(len(specs)),))]
            for name, spec, args, value in zip(names, specs, calls, found or [MISSING] * len(specs), strict=True):
                missing = value is MISSING
                values[name] = engine.get_or_set(spec, partial(self._compute, args, kwargs)) if missing else value
        return [values[name] for name in asked.order]

    def _compute(self, args: Args, kwargs: Kwargs) -> Any:
        if any(passed.instances((*args, *kwargs.values()))):
            ((args, kwargs),) = passed.read_again([(args, kwargs)])
        return self._function(*args, **kwargs)

    def _computed(self, calls: Sequence[Args], kwargs: Kwargs, places: Sequence[int]) -> Any:
        """Return what the batch function makes of these calls; what it leaves out of a mapping the function makes."""
        given = passed.read_again([(calls[at], kwargs) for at in places])
        made = (self._batch or _nothing)([item_of(args) for args, _ in given], **kwargs)
        found = in_order(self.__qualname__, made, [item_of(calls[at]) for at in places])
        for at, (args, _) in enumerate(given):
            if found[at] is MISSING:
                found[at] = self._function(*args, **kwargs)
        return [(value, ()) for value in found]


class AwaitedFunction(Function):
    """A cached function that is awaited."""

    @property
    def __code__(self) -> CodeType:
        """Like `Function.__code__`."""
        return _awaited.__code__

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the value kept for these arguments, computed if there is none that is fresh."""
        return await engine.aget_or_set(self._spec_for(args, kwargs), partial(self._compute, args, kwargs))

    async def refresh(self, /, *args: Any, **kwargs: Any) -> Any:
        """Compute and store, whatever is kept."""
        with engine.refreshing():
            return await self(*args, **kwargs)

    async def peek(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the value kept for these arguments if it is fresh, else MISSING; nothing is computed."""
        answer = await engine.apeek(self._spec_for(args, kwargs))
        return MISSING if answer is None else answer.value

    async def get_many(self, items: Iterable[Any], /, **kwargs: Any) -> Any:
        """Return the values of many calls, in their order, asked for in one round trip."""
        return await self.many((), items, kwargs)

    async def many(self, prefix: Args, items: Iterable[Any], kwargs: Kwargs) -> Any:
        """Like `get_many`, with arguments that stand before those of each item."""
        asked, values = asked_for(self._spec_for, prefix, items, kwargs), {}
        for names in asked.chunks():
            specs, calls = [asked.specs[name] for name in names], [asked.args[name] for name in names]
            produce = None if self._batch is None else partial(self._computed, calls, kwargs)
            found = await gathering.agather(specs, produce, together=True)
            if found is None and produce is not None and not gathering.shadows():
                with gathering.apart(specs):
                    found = [value for value, _ in await produce((*range(len(specs)),))]
            for name, spec, args, value in zip(names, specs, calls, found or [MISSING] * len(specs), strict=True):
                produce_one = partial(self._compute, args, kwargs)
                values[name] = await engine.aget_or_set(spec, produce_one) if value is MISSING else value
        return [values[name] for name in asked.order]

    async def _compute(self, args: Args, kwargs: Kwargs) -> Any:
        if any(passed.instances((*args, *kwargs.values()))):
            ((args, kwargs),) = await passed.aread_again([(args, kwargs)])
        return await self._function(*args, **kwargs)

    async def _computed(self, calls: Sequence[Args], kwargs: Kwargs, places: Sequence[int]) -> Any:
        """Like `Function._computed`."""
        given = await passed.aread_again([(calls[at], kwargs) for at in places])
        made = await (self._batch or _nothing)([item_of(args) for args, _ in given], **kwargs)
        found = in_order(self.__qualname__, made, [item_of(calls[at]) for at in places])
        for at, (args, _) in enumerate(given):
            if found[at] is MISSING:
                found[at] = await self._function(*args, **kwargs)
        return [(value, ()) for value in found]


class Bound:
    """A cached method of an instance or a class: what is asked of it is asked for that."""

    __slots__ = ("__func__", "__self__")

    def __init__(self, function: Function, instance: Any) -> None:
        self.__func__ = function
        self.__self__ = instance

    def __repr__(self) -> str:
        return f"<cached {self.__func__.__qualname__} of {self.__self__!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bound) and other.__func__ is self.__func__ and other.__self__ is self.__self__

    def __hash__(self) -> int:
        return hash((id(self.__func__), id(self.__self__)))

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call or await it for what it is bound to."""
        return self.__func__(self.__self__, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in Bound.__slots__:  # it is being unpickled, and bound to nothing yet
            raise AttributeError(name)
        found = getattr(self.__func__, name)
        return partial(found, self.__self__) if name in EXTRAS else found

    @property
    def __signature__(self) -> inspect.Signature:
        found = inspect.signature(self.__func__)
        return found.replace(parameters=list(found.parameters.values())[1:])

    def get_many(self, items: Iterable[Any], /, **kwargs: Any) -> Any:
        """Return the values of many calls for this instance, in their order, asked for in one round trip."""
        return self.__func__.many((self.__self__,), items, kwargs)


keys.know_named(Function)


def _called() -> None:
    """Lend its code to functions that are called."""


async def _awaited() -> None:
    """Lend its code to functions that are awaited."""


def _nothing(items: list[Any], **_: Any) -> Any:
    return {}
