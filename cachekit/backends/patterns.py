"""Calls on many keys at once, by pattern: walked in pages, so that the server's other callers hardly notice."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.cache.backends.base import default_key_func
from django_redis.util import CacheKey

from cachekit.backends.calling import Calling
from cachekit.backends.calls import LAST_PAGE, Page
from cachekit.backends.generation import PAGE, Plan

FIRST = b"0"
_special = re.compile(r"([*?\[\]\\])")


class Patterns(Calling):
    """`keys`, `iter_keys`, `delete_pattern` and what they have in common."""

    def keys(self, search: str, version: int | None = None, client: Any = None) -> list[str]:
        """Return the keys that match a glob, as the project wrote them."""
        found = self._run(self.line.calls.keys(self.named_pattern(search, version)), [])
        return [self.reversed(key, version) for key in found]

    async def akeys(self, search: str, version: int | None = None) -> list[str]:
        """Like `keys`."""
        found = await self._arun(self.line.calls.keys(self.named_pattern(search, version)), [])
        return [self.reversed(key, version) for key in found]

    def iter_keys(
        self, search: str, itersize: int | None = None, client: Any = None, version: int | None = None
    ) -> Iterator[str]:
        """Yield the keys that match a glob, fetched in pages of about `itersize`; as SCAN does, perhaps one twice."""
        pattern = self.named_pattern(search, version)
        for found in self._walk(lambda cursor: self.line.calls.page(pattern, cursor, itersize or page_size())):
            yield self.reversed(found, version)

    async def aiter_keys(
        self, search: str, itersize: int | None = None, version: int | None = None
    ) -> AsyncIterator[str]:
        """Like `iter_keys`."""
        pattern = self.named_pattern(search, version)
        async for found in self._awalk(lambda cursor: self.line.calls.page(pattern, cursor, itersize or page_size())):
            yield self.reversed(found, version)

    def delete_pattern(
        self,
        pattern: str,
        version: int | None = None,
        prefix: str | None = None,
        client: Any = None,
        itersize: int | None = None,
    ) -> int:
        """Remove the keys that match a glob; return how many. `prefix` stands in for KEY_PREFIX."""
        named = self.named_pattern(pattern, version, prefix)
        return int(self._run(self.line.calls.delete_pattern(named, itersize or page_size()), 0))

    async def adelete_pattern(
        self, pattern: str, version: int | None = None, prefix: str | None = None, itersize: int | None = None
    ) -> int:
        """Like `delete_pattern`."""
        named = self.named_pattern(pattern, version, prefix)
        return int(await self._arun(self.line.calls.delete_pattern(named, itersize or page_size()), 0))

    def sscan_iter(
        self,
        key: str,
        match: str | None = None,
        count: int | None = PAGE,
        version: int | None = None,
        client: Any = None,
    ) -> Iterator[Any]:
        """Yield the members of a set."""
        for member in self._walk(self._members(key, match, count, version)):
            yield self.line.codec.decode(member)

    async def asscan_iter(
        self, key: str, match: str | None = None, count: int | None = PAGE, version: int | None = None
    ) -> AsyncIterator[Any]:
        """Like `sscan_iter`."""
        async for member in self._awalk(self._members(key, match, count, version)):
            yield self.line.codec.decode(member)

    def named_pattern(self, pattern: str, version: int | None = None, prefix: str | None = None) -> str:
        """Return a glob over keys as Django makes them; KEY_PREFIX and version stand for themselves."""
        if isinstance(pattern, CacheKey):
            return self.line.generation.without(pattern)
        start = escaped(self.key_prefix if prefix is None else prefix)
        return str(self.key_func(pattern, start, escaped(str(self.version if version is None else version))))

    def reversed(self, key: bytes | str, version: int | None = None) -> str:
        """Return a server's key as the project wrote it; a KEY_FUNCTION needs its REVERSE_KEY_FUNCTION."""
        name = self.line.generation.without(key.decode("utf-8", "surrogatepass") if isinstance(key, bytes) else key)
        if self.key_func is default_key_func and not self._params.get("REVERSE_KEY_FUNCTION"):
            # django-redis's own splits at colons, which a KEY_PREFIX may have
            return name.removeprefix(f"{self.key_prefix}:{self.version if version is None else version}:")
        return str(self.client.reverse_key(name))

    def _members(
        self, key: str, match: str | None, count: int | None, version: int | None
    ) -> Callable[[bytes], Plan[Page]]:
        codec = self.line.codec
        if match and codec.compresses:
            raise ValueError("Using match with compression is not supported.")
        wanted = codec.encode(match) if match else None
        return lambda cursor: self.line.calls.members(self.named(key, version), cursor, wanted, count or PAGE)

    def _walk(self, plan: Callable[[bytes], Plan[Page]]) -> Iterator[bytes]:
        cursor = FIRST
        while True:
            page = self._run(plan(cursor), LAST_PAGE)
            yield from page.found
            if (cursor := page.cursor) == FIRST:
                return

    async def _awalk(self, plan: Callable[[bytes], Plan[Page]]) -> AsyncIterator[bytes]:
        cursor = FIRST
        while True:
            page = await self._arun(plan(cursor), LAST_PAGE)
            for found in page.found:
                yield found
            if (cursor := page.cursor) == FIRST:
                return


def page_size() -> int:
    """Return how many keys a page of SCAN has where the caller does not say; django-redis's 10 takes far longer."""
    return int(getattr(settings, "DJANGO_REDIS_SCAN_ITERSIZE", PAGE))


def escaped(text: str) -> str:
    """Return a glob that matches this text alone."""
    return _special.sub(r"\\\1", text)
