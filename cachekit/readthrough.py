"""`ReadThrough`: something like a dict whose values are loaded when they are asked for, and kept."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar, Unpack, cast, overload

from asgiref.sync import sync_to_async

from cachekit.calls import AwaitedFunction, Function, Kind
from cachekit.core.missing import MISSING, Missing
from cachekit.exceptions import UncacheableValue
from cachekit.specs import Door, Options

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")
Loaded = Mapping[Any, Any] | Sequence[Any]
BY_NAME = "Ask for it by what names it: products.get(product.code), and have the loader find the rest."


class ReadThrough(Generic[K, V]):
    """Values by key: `products = ReadThrough(load_product, 600)`, then `products.get(42)` or `await products.aget(42)`.

    `loader` takes a key and returns its value, None for nothing; `batch` takes a list of keys and returns a dict, or
    a list in the same order. What they read through the ORM is captured, as with `@cached`, whose options it takes.
    Where they are coroutine functions everything is awaited. Raises UncacheableValue for a lambda without `name`.
    """

    @overload
    def __init__(
        self,
        loader: Callable[[K], Coroutine[Any, Any, V | None]],
        *args: float | None,
        batch: Callable[[list[K]], Any] | None = ...,
        name: str = ...,
        **options: Unpack[Options],
    ) -> None: ...

    @overload
    def __init__(
        self,
        loader: Callable[[K], V | None],
        *args: float | None,
        batch: Callable[[list[K]], Any] | None = ...,
        name: str = ...,
        **options: Unpack[Options],
    ) -> None: ...

    def __init__(
        self,
        loader: Any,
        *args: float | None,
        batch: Callable[[list[K]], Any] | None = None,
        name: str = "",
        **options: Unpack[Options],
    ) -> None:
        if args:
            (options["timeout"],) = args
        self.name = name or f"{loader.__module__}.{getattr(loader, '__qualname__', '<lambda>')}"
        if "<lambda>" in self.name:
            raise UncacheableValue("A lambda has no name of its own to keep its values by: say ReadThrough(…, name=…).")
        door = Door("function", self.name, options)
        self.tag = door.tag
        """Invalidating this tag forgets every value."""
        self.awaits = inspect.iscoroutinefunction(loader)
        kind = Kind(advice=BY_NAME)
        self._called = Function(_named(loader), door, kind)
        aload: Any = loader if self.awaits else sync_to_async(loader)
        self._awaited = AwaitedFunction(_anamed(aload), door, kind)
        if batch is not None:
            self._take(batch)

    def __repr__(self) -> str:
        return f"<ReadThrough {self.name}>"

    @property
    def alias(self) -> str:
        """Return the alias of CACHES that it uses."""
        return self._called.alias

    def __getitem__(self, key: K) -> V:
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def __contains__(self, key: K) -> bool:
        return self.get(key) is not None

    __iter__ = None  # nobody knows all the keys that can be loaded

    def get(self, key: K, default: D | None = None) -> V | D | None:
        """Return the value of a key, loaded if none is kept that is fresh."""
        found: V | None = self._sync(key)
        return default if found is None else found

    async def aget(self, key: K, default: D | None = None) -> V | D | None:
        """Like `get`."""
        found: V | None = await self._awaited(key)
        return default if found is None else found

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Return values by key, asked for in one round trip; keys without a value are left out."""
        wanted = list(dict.fromkeys(keys))
        self._refuse()
        return _by_key(wanted, self._called.many((), [(key,) for key in wanted], {}))

    async def aget_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Like `get_many`."""
        wanted = list(dict.fromkeys(keys))
        return _by_key(wanted, await self._awaited.many((), [(key,) for key in wanted], {}))

    def peek(self, key: K) -> V | Missing | None:
        """Return the value that is kept if it is fresh, None if there is known to be none; MISSING loads nothing."""
        return cast("V | Missing | None", self._called.peek(key))

    async def apeek(self, key: K) -> V | Missing | None:
        """Like `peek`."""
        return cast("V | Missing | None", await self._awaited.peek(key))

    def refresh(self, key: K) -> V | None:
        """Load and keep, whatever is kept."""
        self._refuse()
        return cast("V | None", self._called.refresh(key))

    async def arefresh(self, key: K) -> V | None:
        """Like `refresh`."""
        return cast("V | None", await self._awaited.refresh(key))

    def invalidate(self, key: K) -> bool:
        """Forget a value, whoever loads it just now."""
        return self._called.invalidate(key)

    async def ainvalidate(self, key: K) -> bool:
        """Like `invalidate`."""
        return await self._called.ainvalidate(key)

    def _sync(self, key: K) -> Any:
        self._refuse()
        return self._called(key)

    def _refuse(self) -> None:
        if self.awaits:
            raise TypeError(f"The loader of {self.name} is a coroutine function: await its aget(), aget_many(), ….")

    def _take(self, batch: Callable[[list[K]], Any]) -> None:
        """Have `batch` load what many keys are asked for at once. Raises TypeError."""
        if inspect.iscoroutinefunction(batch) != self.awaits:
            kinds = ("async def", "def") if self.awaits else ("def", "async def")
            raise TypeError(
                f"The loader of {self.name} is {kinds[0]}, its batch loader {kinds[1]}. Write both in one way."
            )

        def load(keys: list[K]) -> list[Any]:
            return _in_order(batch(keys), keys)

        async def aload(keys: list[K]) -> list[Any]:
            return _in_order(await (batch if self.awaits else sync_to_async(batch))(keys), keys)

        self._called.batch(load)
        self._awaited.batch(aload)


def _named(loader: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def load(key: Any) -> Any:
        return loader(key)

    load.__qualname__ = getattr(loader, "__qualname__", load.__qualname__)
    return load


def _anamed(loader: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Any]:
    async def load(key: Any) -> Any:
        return await loader(key)

    load.__qualname__ = getattr(loader, "__qualname__", load.__qualname__)
    return load


def _in_order(found: Loaded, keys: list[Any]) -> list[Any]:
    """Return values in the order of their keys; what a dict leaves out is known not to be there."""
    return [found.get(key) for key in keys] if isinstance(found, Mapping) else list(found)


def _by_key(keys: list[K], values: list[Any]) -> dict[K, Any]:
    return {key: value for key, value in zip(keys, values, strict=True) if value is not None and value is not MISSING}
