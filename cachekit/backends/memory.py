"""The cache in this process's memory, for tests and for a site without a server."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache

from cachekit import hooks
from cachekit.backends.aliases import alias_of, aliases_of
from cachekit.backends.errors import pickling
from cachekit.backends.families import family
from cachekit.invalidation import ainvalidate, invalidate
from cachekit.stores import Store, store_for
from cachekit.stores.memory import MemoryStore

MISSING = object()


def at_once(name: str) -> Any:
    """Return the twin of a call that never waits; Django's own would take it to a thread."""

    async def awaited(self: MemoryCache, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, name)(*args, **kwargs)

    awaited.__name__, awaited.__qualname__, awaited.__doc__ = f"a{name}", f"MemoryCache.a{name}", f"Like `{name}`."
    return awaited


class MemoryCache(LocMemCache):
    """Django's local-memory cache with a store for cachekit's other doors."""

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        self._given = (name, dict(params))
        super().__init__(name, params)

    @cached_property
    def alias(self) -> str:
        """The alias of CACHES that this cache was made for; empty where it was made by hand."""
        return alias_of(*self._given)

    @property
    def cachekit_store(self) -> Store:
        """The store that cachekit's other doors use under the same alias. Raises ImproperStore if there is none."""
        return store_for(self.alias)

    def make_store(self, alias: str) -> MemoryStore:
        """Make the store of an alias, for cachekit's other doors."""
        return MemoryStore(alias, f"{self.key_prefix}:ck" if self.key_prefix else "ck")

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """Return the value under `key`, or `default`."""
        found = super().get(key, MISSING, version)
        hooks.tell(hooks.Lookup(self.alias, "backend", family(str(key)), "miss" if found is MISSING else "hit"))
        return default if found is MISSING else found

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """Store a value. Raises UncacheableValue for what does not pickle."""
        with pickling(value):
            super().set(key, value, timeout, version)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Store a value where nothing stands; return whether it was stored. Raises UncacheableValue."""
        with pickling(value):
            return super().add(key, value, timeout, version)

    def clear(self) -> None:
        """Remove everything, what cachekit's other doors keep under this alias too."""
        super().clear()
        for alias in aliases_of(*self._given):
            invalidate("*", why="clear()", alias=alias)

    async def aclear(self) -> None:
        """Like `clear`."""
        super().clear()
        for alias in aliases_of(*self._given):
            await ainvalidate("*", why="clear()", alias=alias)

    aget = at_once("get")
    aset = at_once("set")
    aadd = at_once("add")
    atouch = at_once("touch")
    adelete = at_once("delete")
    ahas_key = at_once("has_key")
    aincr = at_once("incr")
    adecr = at_once("decr")
    aget_many = at_once("get_many")
    aset_many = at_once("set_many")
    adelete_many = at_once("delete_many")
    aincr_version = at_once("incr_version")
