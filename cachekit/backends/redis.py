"""The cache on Redis or Valkey: a drop-in for django-redis's backend and for Django's own."""

from __future__ import annotations

try:
    import django_redis  # noqa: F401 - the extra
except ImportError as error:  # pragma: no cover - tried in a virtual environment of its own
    from cachekit.exceptions import MissingExtra

    raise MissingExtra.of("redis") from error

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django_redis.util import CacheKey
from redis.exceptions import ResponseError

from cachekit.backends.calling import AWAY
from cachekit.backends.calls import MISSING
from cachekit.backends.directory import made_store
from cachekit.backends.extras import Extras
from cachekit.backends.nearby import Nearby
from cachekit.backends.phrases import expiry
from cachekit.computing import tracks
from cachekit.core.codecs import Undecodable
from cachekit.core.copies import shared
from cachekit.exceptions import StoreUnavailable
from cachekit.invalidation import ainvalidate, invalidate
from cachekit.stores.redis import RedisStore

SWEEP_SECONDS = 1.0
"""So long `clear` removes old keys before it returns; what is left nobody can see, and its timeout takes it."""


class RedisCache(Extras):
    """Django's cache contract over raw exchanges; each call is a plan, carried out called or awaited."""

    def make_store(self, alias: str) -> RedisStore:
        """Make the store of an alias, for cachekit's other doors."""
        return made_store(self, alias)

    def get(self, key: Any, default: Any = None, version: int | None = None, client: Any = None) -> Any:
        """Return the value under `key`, or `default`."""
        if client is not None:
            return self._by_client("get", default, key, default, version, client)
        nearby = self._nearby
        if nearby is not None and version is None and type(key) is str:
            kept = nearby.near.get(key)
            if kept is not None and tracks():
                nearby.meter.times += 1
                return kept.value if kept.copy is shared else kept.copy(kept.value)
        name, line = self.named(key, version), self.line
        try:
            if self._nearby is not None and version is None and type(key) is str:
                found = self._brought(self._nearby, key, name)
            else:
                found = line.calls.value(line.fetch(name))
        except (StoreUnavailable, ResponseError) as error:
            found = self.answered(error, AWAY)
        return self._looked_up(key, found, default)

    def _brought(self, nearby: Nearby, key: str, name: str) -> Any:
        """Fetch a value, and keep it in this process."""
        moment, calls = nearby.moment(), self.line.calls
        data, left = self.line.run(calls.near(name))
        value = calls.value(data)
        if data is None or moment is None or value is MISSING or type(value) is Undecodable:
            return value
        return nearby.keep(key, name, (data, left, value), moment)

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """Like `get`."""
        nearby = self._nearby
        if nearby is not None and version is None and type(key) is str:
            kept = nearby.near.get(key)
            if kept is not None and tracks():
                nearby.meter.times += 1
                return kept.value if kept.copy is shared else kept.copy(kept.value)
        name, line = self.named(key, version), self.line
        try:
            if self._nearby is not None and version is None and type(key) is str:
                found = await self._abrought(self._nearby, key, name)
            else:
                found = line.calls.value(await line.afetch(name))
        except (StoreUnavailable, ResponseError) as error:
            found = self.answered(error, AWAY)
        return self._looked_up(key, found, default)

    async def _abrought(self, nearby: Nearby, key: str, name: str) -> Any:
        """Like `_brought`."""
        moment, calls = nearby.moment(), self.line.calls
        data, left = await self.line.arun(calls.near(name))
        value = calls.value(data)
        if data is None or moment is None or value is MISSING or type(value) is Undecodable:
            return value
        return nearby.keep(key, name, (data, left, value), moment)

    def set(  # noqa: PLR0917 - django-redis's signature
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        client: Any = None,
        nx: bool = False,
        xx: bool = False,
    ) -> bool:
        """Store a value, by `nx` only where nothing stands, by `xx` only where something does; say whether it was."""
        if client is not None:
            return bool(self._by_client("set", False, key, value, timeout, version, client, nx, xx))
        name, line, ends = self.named(key, version), self.line, self.milliseconds(timeout)
        try:
            short = not nx and not xx and (ends is None or ends > 0)
            if short and line.stored(name, line.codec.encode(value), expiry(ends)):
                return True
            return line.run(line.calls.set(name, value, ends, nx=nx, xx=xx))
        except (StoreUnavailable, ResponseError) as error:
            return bool(self.answered(error, False))

    async def aset(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - the entry's, not the call's
        version: int | None = None,
        *,
        nx: bool = False,
        xx: bool = False,
    ) -> bool:
        """Like `set`."""
        name, line, ends = self.named(key, version), self.line, self.milliseconds(timeout)
        try:
            short = not nx and not xx and (ends is None or ends > 0)
            if short and await line.astored(name, line.codec.encode(value), expiry(ends)):
                return True
            return await line.arun(line.calls.set(name, value, ends, nx=nx, xx=xx))
        except (StoreUnavailable, ResponseError) as error:
            return bool(self.answered(error, False))

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, client: Any = None
    ) -> bool:
        """Store a value where nothing stands; return whether it was stored."""
        return self.set(key, value, timeout, version, client, nx=True)

    async def aadd(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:  # noqa: ASYNC109
        """Like `add`."""
        return await self.aset(key, value, timeout, version, nx=True)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, client: Any = None) -> bool:
        """Give an entry another timeout; return whether there was one."""
        if client is not None:
            return bool(self._by_client("touch", False, key, timeout, version, client))
        return bool(self._run(self.line.calls.touch(self.named(key, version), self.milliseconds(timeout)), False))

    async def atouch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:  # noqa: ASYNC109
        """Like `touch`."""
        return bool(
            await self._arun(self.line.calls.touch(self.named(key, version), self.milliseconds(timeout)), False)
        )

    def has_key(self, key: Any, version: int | None = None, client: Any = None) -> bool:
        """Say whether there is an entry."""
        if client is not None:
            return bool(self._by_client("has_key", False, key, version, client))
        return bool(self._run(self.line.calls.has(self.named(key, version)), False))

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        """Like `has_key`."""
        return bool(await self._arun(self.line.calls.has(self.named(key, version)), False))

    def incr(
        self, key: Any, delta: int = 1, version: int | None = None, client: Any = None, ignore_key_check: bool = False
    ) -> Any:
        """Add to a number and return the sum; `ignore_key_check` begins at 0 where nothing stands.

        Raises ValueError where nothing stands or the server is away, and a TypeError for what is not a number.
        """
        if client is not None:
            return self._by_client("incr", delta, key, delta, version, client, ignore_key_check)
        plan = self.line.calls.count(self.named(key, version), delta, create=ignore_key_check)
        return counted(key, self._run(plan, delta if ignore_key_check else MISSING))

    async def aincr(self, key: Any, delta: int = 1, version: int | None = None, ignore_key_check: bool = False) -> Any:
        """Like `incr`."""
        plan = self.line.calls.count(self.named(key, version), delta, create=ignore_key_check)
        return counted(key, await self._arun(plan, delta if ignore_key_check else MISSING))

    def decr(self, key: Any, delta: int = 1, version: int | None = None, client: Any = None) -> Any:
        """Subtract from a number and return the difference; raises as `incr` does."""
        return self.incr(key, -delta, version, client)

    async def adecr(self, key: Any, delta: int = 1, version: int | None = None) -> Any:
        """Like `decr`."""
        return await self.aincr(key, -delta, version)

    def incr_version(self, key: Any, delta: int = 1, version: int | None = None, client: Any = None) -> int:
        """Move an entry, with its timeout, to another version and return that. Raises ValueError if there is none."""
        new = (self.version if version is None else version) + delta
        names = self.named(key, version), self.named(self._original(key), new)
        counted(key, self._run(self.line.calls.rename(*names), False) or MISSING)
        return new

    async def aincr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Like `incr_version`."""
        new = (self.version if version is None else version) + delta
        names = self.named(key, version), self.named(self._original(key), new)
        counted(key, await self._arun(self.line.calls.rename(*names), False) or MISSING)
        return new

    def delete(self, key: Any, version: int | None = None, prefix: str | None = None, client: Any = None) -> bool:
        """Remove an entry; return whether there was one. `prefix` stands in for KEY_PREFIX."""
        if client is not None or prefix is not None:
            return bool(self._by_client("delete", False, key, version, prefix, client))
        return bool(self._run(self.line.calls.delete((self.named(key, version),)), False))

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        """Like `delete`."""
        return bool(await self._arun(self.line.calls.delete((self.named(key, version),)), False))

    def get_many(self, keys: Iterable[Any], version: int | None = None, client: Any = None) -> dict[Any, Any]:
        """Return {key: value} of the entries there are."""
        if client is not None:
            return dict(self._by_client("get_many", {}, list(keys), version, client))
        names = self.all_named(keys, version)
        return self._all_looked_up(self._run(self.line.calls.get_many(names), AWAY), len(names))

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """Like `get_many`."""
        names = self.all_named(keys, version)
        return self._all_looked_up(await self._arun(self.line.calls.get_many(names), AWAY), len(names))

    def set_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, client: Any = None
    ) -> list[Any]:
        """Store the values; return the keys of those that were not stored."""
        if client is not None:
            return list(self._by_client("set_many", None, data, timeout, version, client) or [])
        names = self.all_named(data, version)
        plan = self.line.calls.set_many({name: data[key] for name, key in names.items()}, self.milliseconds(timeout))
        return [names[name] for name in self._run(plan, names)]

    async def aset_many(
        self,
        data: Mapping[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - the entries', not the call's
        version: int | None = None,
    ) -> list[Any]:
        """Like `set_many`."""
        names = self.all_named(data, version)
        plan = self.line.calls.set_many({name: data[key] for name, key in names.items()}, self.milliseconds(timeout))
        return [names[name] for name in await self._arun(plan, names)]

    def delete_many(self, keys: Iterable[Any], version: int | None = None, client: Any = None) -> None:
        """Remove entries."""
        if client is not None:
            self._by_client("delete_many", 0, list(keys), version, client)
            return
        self._run(self.line.calls.delete([self.named(key, version) for key in keys]), 0)

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """Like `delete_many`."""
        await self._arun(self.line.calls.delete([self.named(key, version) for key in keys]), 0)

    def clear(self) -> bool:
        """Remove everything under this KEY_PREFIX, what cachekit's other doors keep too, and nothing else.

        Return whether the server took it.
        """
        cleared = bool(self._run(self.line.calls.clear(SWEEP_SECONDS), False))
        if self.alias:
            invalidate("*", why="clear()", alias=self.alias)
        return cleared

    async def aclear(self) -> bool:
        """Like `clear`."""
        cleared = bool(await self._arun(self.line.calls.clear(SWEEP_SECONDS), False))
        if self.alias:
            await ainvalidate("*", why="clear()", alias=self.alias)
        return cleared

    def _original(self, key: Any) -> Any:
        return self.reversed(key) if isinstance(key, CacheKey) else key


def counted(key: Any, answer: Any) -> Any:
    """Return a sum. Raises ValueError where there was nothing to count on."""
    if answer is MISSING:
        raise ValueError(f"Key '{key}' not found")
    return answer
