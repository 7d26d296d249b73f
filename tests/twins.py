"""Run a function, or its async twin, from one test body."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async


@dataclasses.dataclass(frozen=True)
class Call:
    """`call(store.do, step)` runs `store.do`, or `store.ado` on an event loop; database work stays on this thread."""

    awaited: bool

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the function with these arguments, or await its twin; a coroutine function is its own twin."""
        if inspect.iscoroutinefunction(function):
            return async_to_sync(function)(*args, **kwargs)
        if not self.awaited:
            return function(*args, **kwargs)

        twin = twin_of(function)

        async def run() -> Any:
            return await twin(*args, **kwargs)

        return async_to_sync(run)()

    def producer(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as an async twin wants it: a coroutine function whose body may use the ORM."""
        if not self.awaited:
            return function

        @functools.wraps(function)
        async def produce(*args: Any, **kwargs: Any) -> Any:
            return await sync_to_async(function)(*args, **kwargs)

        return produce


def twin_of(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Return `aname` for `name`, from the object or the module where `name` lives."""
    owner = getattr(function, "__self__", None)
    home = sys.modules[function.__module__] if owner is None else owner  # an owner may be false: an empty session is
    twin: Callable[..., Awaitable[Any]] = getattr(home, f"a{function.__name__}")
    return twin
