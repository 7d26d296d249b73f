"""A small site with a few rows, their writer and a process beside it, on servers that get into trouble."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from cachekit import engine, invalidation
from cachekit.core.capture import depend
from cachekit.stores import store_for
from cachekit.stores.redis import RedisStore
from tests.making import spec_of
from tests.patience import patient
from tests.twins import Call

PAUSE = 0.1
DEADLINE = 20.0
WRITER, BESIDE = "default", "beside"
PROCESSES = (WRITER, BESIDE)


class Site:
    """Rows in a database that never fails, read and written through the cache; calls and awaits alike.

    The aliases stand for processes: each has its own connections, breaker and memory of what it has seen.
    """

    def __init__(self, call: Call, *, padding: int = 0) -> None:
        self.call = call
        self.padding = "x" * padding
        self.versions: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.runs = 0

    @property
    def store(self) -> RedisStore:
        """The writer's store."""
        return self.store_of(WRITER)

    def store_of(self, alias: str) -> RedisStore:
        """The store of a process."""
        store = store_for(alias)
        assert isinstance(store, RedisStore)
        return store

    def write(self, row: str = "row") -> bool:
        """Change a row and invalidate; return whether the server knows."""
        self.versions[row] += 1
        told = bool(self.call(engine.invalidate, row, alias=WRITER))
        if told:
            self.told[row] = self.versions[row]
        return told

    def read(self, alias: str = WRITER, row: str = "row") -> None:
        """Read a page: it shows its own row, and no version older than what was acknowledged."""
        known = self.versions if alias == WRITER else self.told

        def compute() -> tuple[str, int, str]:
            depend(row)
            self.runs += 1
            return row, self.versions[row], self.padding

        shown, version, _ = self.call(engine.get_or_set, spec_of(alias, f"page-{row}"), self.call.producer(compute))
        assert shown == row, "another page's answer"
        assert known[row] <= version <= self.versions[row], f"{alias} shows {version} after {known[row]} was told"

    def read_everywhere(self, times: int = 1) -> None:
        """Read in every process."""
        for _ in range(times):
            for alias in PROCESSES:
                self.read(alias)

    def go_on(self, rounds: int = 3) -> None:
        """Write and read as if nothing was the matter."""
        for _ in range(rounds):
            self.write()
            self.read_everywhere()

    def hits(self, alias: str = WRITER) -> bool:
        """Tell whether a page comes out of the cache."""
        before = self.runs
        self.read(alias)
        return self.runs == before

    def warm(self) -> None:
        """Have a page in the cache that both processes hit."""
        until(self.write)
        for alias in PROCESSES:
            until(partial(self.hits, alias))

    def recovers(self) -> None:
        """Go on until pages come out of the cache again in both processes, and writes are told to both."""
        for alias in PROCESSES:
            until(partial(self.hits, alias))
        until(self.write)
        self.read_everywhere(2)
        for alias in PROCESSES:
            until(partial(self.hits, alias))
        until(lambda: not invalidation.pending(WRITER))

    def trouble(self, breaks: Callable[[], object], mends: Callable[[], object]) -> None:
        """Go through trouble with a page cached before it, writes during it, and reads all along."""
        self.warm()
        breaks()
        self.go_on()
        mends()
        self.read_everywhere(2)
        self.go_on()
        self.recovers()


def entry(url: str, **options: Any) -> dict[str, Any]:
    """Return an entry of CACHES on the server at this URL; it has time, and who kills and cuts is answered at once."""
    return {"BACKEND": "cachekit.backends.RedisCache", "LOCATION": url, "OPTIONS": patient(options)}


def until(arrived: Callable[[], object]) -> None:
    """Wait for what comes in its own time, a bounded time."""
    deadline = time.monotonic() + DEADLINE
    while not arrived():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
