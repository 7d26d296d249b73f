"""A small site with one row, its writer and a process beside it, on servers that get into trouble."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from cachekit import engine, invalidation
from cachekit.core.capture import depend
from cachekit.core.policy import Spec
from cachekit.stores import store_for
from cachekit.stores.redis import RedisStore
from tests.making import spec_of
from tests.twins import Call

QUICK = {"SOCKET_CONNECT_TIMEOUT": 0.3, "SOCKET_TIMEOUT": 0.3}
PAUSE = 0.2
TAG = "row"
DEADLINE = 20.0


class Site:
    """A row in a database that never fails, read and written through the cache; calls and awaits alike.

    The aliases stand for processes: each has its own connections, breaker and memory of what it has seen.
    """

    def __init__(self, call: Call, writer: str = "default", others: tuple[str, ...] = ()) -> None:
        self.call = call
        self.writer = writer
        self.others = others
        self.version = 0
        self.told = 0
        self.runs = 0

    @property
    def store(self) -> RedisStore:
        """The writer's store."""
        return self.store_of(self.writer)

    def store_of(self, alias: str) -> RedisStore:
        """The store of a process."""
        store = store_for(alias)
        assert isinstance(store, RedisStore)
        return store

    def write(self) -> bool:
        """Change the row and invalidate; return whether the server knows."""
        self.version += 1
        told = bool(self.call(engine.invalidate, TAG, alias=self.writer))
        if told:
            self.told = self.version
        return told

    def read(self, alias: str = "", name: str = "page") -> int:
        """Return the version that a page shows: never one older than what was acknowledged."""
        alias = alias or self.writer
        told = self.version if alias == self.writer else self.told
        shown: int = self.call(engine.get_or_set, self.spec(alias, name), self.call.producer(self._compute))
        assert told <= shown <= self.version, f"{alias} shows version {shown} after {told} was acknowledged"
        return shown

    def read_everywhere(self, times: int = 1) -> None:
        """Read in every process."""
        for _ in range(times):
            for alias in (self.writer, *self.others):
                self.read(alias)

    def spec(self, alias: str, name: str = "page") -> Spec:
        """Return what a page asks for."""
        return spec_of(alias, name)

    def hits(self, alias: str = "") -> bool:
        """Tell whether a page comes out of the cache."""
        before = self.runs
        self.read(alias)
        return self.runs == before

    def recovers(self, *, writes: bool = True) -> None:
        """Go on reading and writing until pages come out of the cache again in every process, and know of writes."""
        for alias in (self.writer, *self.others):
            self.until(partial(self.hits, alias))
        if writes:
            self.until(self.write)
            self.read_everywhere(2)
            assert self.hits()
        assert invalidation.pending(self.writer) == ()

    def until(self, arrived: Callable[[], object]) -> None:
        """Wait for what comes in its own time, a bounded time."""
        deadline = time.monotonic() + DEADLINE
        while not arrived():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _compute(self) -> int:
        depend(TAG)
        self.runs += 1
        return self.version


def entry(url: str, **options: Any) -> dict[str, Any]:
    """Return an entry of CACHES on the server at this URL."""
    return {"BACKEND": "cachekit.backends.RedisCache", "LOCATION": url, "OPTIONS": {**QUICK, **options}}
