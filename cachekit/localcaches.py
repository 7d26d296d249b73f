"""`@local`: keep what a pure function returns in this process, for some time, with a policy for what goes first."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import os
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, ParamSpec, Protocol, TypeVar, overload
from weakref import WeakSet

from cachekit.exceptions import MissingExtra

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

POLICIES: Final = {"lru": "LRUCache", "lfu": "LFUCache", "fifo": "FIFOCache"}
"""What goes first where there is no room: the one not used for longest, the one used least often, the oldest."""


class CacheInfo(NamedTuple):
    """What `cache_info()` tells; where threads count at once a look-up may be missed."""

    hits: int
    misses: int
    maxsize: int
    currsize: int


class Local(Protocol[P, R_co]):
    """A function whose results are kept in this process."""

    __wrapped__: Callable[P, Any]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Return the value kept for these arguments, computed if there is none."""

    def cache_info(self) -> CacheInfo:
        """Tell how often it was asked, and how much it holds."""

    def cache_clear(self) -> None:
        """Forget every value; what is being computed just now is not kept either."""


class _Flight:
    """A computation under way; `owner` is the thread or task that computes."""

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self.future: Future[Any] = Future()


class _GaveUp(Exception):
    """Who computed was cancelled: whoever waited tries anew."""


class _Held:
    """The values of one function, and the computations under way."""

    def __init__(self, make: Callable[[int], Any], maxsize: int, ttl: float | None) -> None:
        self._make = make
        self._maxsize = maxsize
        self._ttl = ttl
        self.forget()
        _known.add(self)

    def forget(self) -> None:
        """Begin with no values, and a lock that nobody holds."""
        self.lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget every value, and let what is under way be nobody's."""
        with self.lock:
            self.hits = self.misses = 0
            self.values = self._make(self._maxsize)
            self.flights: dict[Hashable, _Flight] = {}

    def found(self, key: Hashable) -> tuple[Any, float] | None:
        """Return a value, and until when (monotonic) it is kept."""
        held: tuple[Any, float] | None = self.values.get(key)
        if held is None or (self._ttl is not None and time.monotonic() >= held[1]):
            return None
        self.hits += 1
        return held

    def info(self) -> CacheInfo:
        """Tell how often it was asked, and how much it holds."""
        return CacheInfo(self.hits, self.misses, self._maxsize, len(self.values))

    def enter(self, key: Hashable, owner: object) -> tuple[_Flight, bool]:
        """Return the flight for a key, and whether the caller is to compute."""
        with self.lock:
            flight = self.flights.get(key)
            if flight is not None:
                return flight, flight.owner == owner  # one that asks itself computes, as it would without a cache
            flight = _Flight(owner)
            if (held := self.found(key)) is not None:  # it landed since the caller looked
                flight.future.set_result(held[0])
                return flight, False
            self.flights[key] = flight
            self.misses += 1
            return flight, True

    def land(self, key: Hashable, flight: _Flight, value: Any, error: BaseException | None) -> None:
        """Keep a value, unless all were forgotten meanwhile, and wake those who wait."""
        with self.lock:
            if self.flights.get(key) is flight:
                del self.flights[key]
                if error is None:
                    until = math.inf if self._ttl is None else time.monotonic() + self._ttl
                    self.values[key] = (value, until)
        if flight.future.done():
            return
        if error is None:
            flight.future.set_result(value)
        else:
            flight.future.set_exception(error if isinstance(error, Exception) else _GaveUp())


_known: WeakSet[_Held] = WeakSet()


@overload
def local(function: Callable[P, R], /) -> Local[P, R]: ...


@overload
def local(
    *, maxsize: int = ..., ttl: float | None = ..., policy: str = ...
) -> Callable[[Callable[P, R]], Local[P, R]]: ...


def local(function: Any = ..., /, *, maxsize: int = 1024, ttl: float | None = None, policy: str = "lru") -> Any:
    """Keep what a pure function returns in this process: `@local(maxsize=1024, ttl=60, policy="lfu")`.

    `ttl` in seconds, None for no limit; `policy` says what goes first where there is no room: `lru`, `lfu` or `fifo`.
    Several who ask for the same at once wait for one computation, called or awaited. Arguments must be hashable and
    count by value and type; everybody gets the same object. Nothing invalidates it: for what the database holds there
    is `@cached(near=True)`. Needs the extra `local`. Raises MissingExtra, ValueError, TypeError.
    """
    if function is not ... and not callable(function):
        raise TypeError(
            f"@local is told everything by name: write @local(ttl={function!r}), in seconds; or @local alone."
        )
    make = _maker(maxsize, ttl, policy)

    def decorate(function: Callable[..., Any]) -> Any:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"@local cannot keep a generator: {function.__qualname__}. Return a tuple from it.")
        held = _Held(make, maxsize, ttl)
        call: Any = _awaited(function, held) if inspect.iscoroutinefunction(function) else _called(function, held)
        call.cache_info, call.cache_clear = held.info, held.clear
        return call

    return decorate if function is ... else decorate(function)


def _maker(maxsize: int, ttl: float | None, policy: str) -> Callable[[int], Any]:
    """Return what makes the dict of values."""
    if policy not in POLICIES:
        raise ValueError(f"policy is one of {', '.join(map(repr, POLICIES))}; not {policy!r}")
    if not isinstance(maxsize, int) or isinstance(maxsize, bool) or maxsize < 1:
        raise ValueError(f"maxsize is a number of values, 1 or more; not {maxsize!r}")
    if ttl is not None and not (isinstance(ttl, (int, float)) and ttl > 0):
        raise ValueError(f"ttl is a number of seconds above 0, or None for no limit; not {ttl!r}")
    try:
        import cachebox  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra.of("local") from error
    made: Callable[[int], Any] = getattr(cachebox, POLICIES[policy])
    return made


def _called(function: Callable[..., Any], held: _Held) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        key = _key(args, kwargs)
        found = held.found(key)
        if found is not None:
            return found[0]
        while True:
            flight, computes = held.enter(key, threading.get_ident())
            if not computes:
                try:
                    return flight.future.result()
                except _GaveUp:
                    continue
            try:
                value = function(*args, **kwargs)
            except BaseException as error:
                held.land(key, flight, None, error)
                raise
            held.land(key, flight, value, None)
            return value

    return call


def _awaited(function: Callable[..., Any], held: _Held) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        key = _key(args, kwargs)
        found = held.found(key)
        if found is not None:
            return found[0]
        while True:
            flight, computes = held.enter(key, asyncio.current_task())
            if not computes:
                try:
                    return await _landed(flight)
                except _GaveUp:
                    continue
            try:
                value = await function(*args, **kwargs)
            except BaseException as error:
                held.land(key, flight, None, error)
                raise
            held.land(key, flight, value, None)
            return value

    return call


async def _landed(flight: _Flight) -> Any:
    """Wait for a flight, perhaps of another loop; a waiter that is cancelled takes nothing from the others."""
    loop, landed = asyncio.get_running_loop(), asyncio.Event()

    def wake(_: object) -> None:
        try:
            loop.call_soon_threadsafe(landed.set)
        except RuntimeError:
            pass  # the loop ended before the flight

    flight.future.add_done_callback(wake)
    await landed.wait()
    return flight.future.result()


def _key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
    """Return what tells calls apart: arguments by value and type, so that 1, 1.0 and True are three."""
    if not kwargs:
        return args, tuple(map(type, args))
    return args, tuple(map(type, args)), tuple((name, type(one), one) for name, one in sorted(kwargs.items()))


def _begin_again() -> None:
    for one in list(_known):
        one.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)
