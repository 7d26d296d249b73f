"""Readers, writers and mischief at random: no read is older than the last write acknowledged before it began."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from functools import partial
from typing import Any

import pytest

from cachekit import engine
from cachekit.core.capture import depend
from cachekit.stores import store_for
from cachekit.stores.redis import RedisStore
from tests.making import spec_of
from tests.patience import PATIENCE
from tests.processes import line_of, process

KEYS = 4
SECONDS = 1.5
READS = 50


class World:
    """Some numbers that grow, their caches, and whoever was told something older than was acknowledged."""

    def __init__(self, alias: str) -> None:
        self.truth = [0] * KEYS
        self.acknowledged = [0] * KEYS
        self.wrong: list[str] = []
        self.reads = 0
        self.alias = alias
        policy: dict[str, Any] = {"beta": 1.0, "grace": 1.0, "jitter": 0.5, "timeout": 0.3}
        self.inner = [spec_of(alias, f"inner-{n}", **policy) for n in range(KEYS)]
        self.outer = spec_of(alias, "outer", **policy)
        self.end = time.monotonic() + SECONDS
        self.last = self.end + PATIENCE
        self._writing = threading.Lock()

    @property
    def lasts(self) -> bool:
        """Tell whether to go on: on a busy machine until something was read, within bounds."""
        return time.monotonic() < (self.last if self.reads <= READS else self.end)

    def pause(self) -> float:
        """Return a short time to lose."""
        return random.choice((0, 0, 0.0005, 0.003))

    def write(self) -> None:
        """Write, then invalidate, then acknowledge."""
        while self.lasts:
            n = random.randrange(KEYS)
            with self._writing:
                self.truth[n] += 1
                value = self.truth[n]
            time.sleep(self.pause())
            if engine.invalidate(f"number-{n}", alias=self.alias):
                with self._writing:
                    self.acknowledged[n] = max(self.acknowledged[n], value)
            time.sleep(0.002)

    def number(self, n: int) -> int:
        """Compute one number."""
        depend(f"number-{n}")
        value = self.truth[n]
        time.sleep(self.pause())
        return value

    def numbers(self) -> list[int]:
        """Compute all of them, by their own entries."""
        return [engine.get_or_set(self.inner[n], partial(self.number, n)) for n in range(KEYS)]

    async def anumber(self, n: int) -> int:
        """Like `number`."""
        depend(f"number-{n}")
        value = self.truth[n]
        await asyncio.sleep(self.pause())
        return value

    async def anumbers(self) -> list[int]:
        """Like `numbers`."""

        async def one(n: int) -> Any:
            return await engine.aget_or_set(self.inner[n], lambda: self.anumber(n))

        return list(await asyncio.gather(*(one(n) for n in range(KEYS))))

    def judge(self, floor: list[int], found: list[int], who: str) -> None:
        """Note what is older than it may be."""
        self.reads += 1
        if any(value < least for value, least in zip(found, floor, strict=True)):
            self.wrong.append(f"{who}: {found} after {floor} was acknowledged")

    def read(self) -> None:
        """Read until the end, called."""
        while self.lasts:
            n, floor = random.randrange(KEYS + 1), list(self.acknowledged)
            if n == KEYS:
                self.judge(floor, engine.get_or_set(self.outer, self.numbers), "outer")
            else:
                value = engine.get_or_set(self.inner[n], partial(self.number, n))
                self.judge(floor[n : n + 1], [value], "inner")

    def read_awaiting(self) -> None:
        """Read until the end, awaited, in some tasks."""

        async def task() -> None:
            while self.lasts:
                floor = list(self.acknowledged)
                self.judge(floor, await engine.aget_or_set(self.outer, self.anumbers), "awaited outer")
                await asyncio.sleep(0)

        async def tasks() -> None:
            await asyncio.gather(*(task() for _ in range(4)))

        asyncio.run(tasks())

    def harm(self) -> None:
        """Take entries and parts of the ledger away, as an evicting server does."""
        store = store_for(self.alias)
        while self.lasts:
            time.sleep(0.02)
            if isinstance(store, RedisStore):
                client: Any = store.client
                keys = [key for key in client.keys("*") if b":lease:" not in key]
                if keys:
                    client.delete(random.choice(keys))

    def refresh(self) -> None:
        """Renew what is there now and then."""
        while self.lasts:
            time.sleep(0.03)
            with engine.refreshing():
                engine.get_or_set(self.inner[0], lambda: self.number(0))


@pytest.mark.parametrize("harmful", [False, True], ids=["in peace", "with parts evicted"])
def test_no_read_is_older_than_the_last_acknowledged_write(alias: str, harmful: bool) -> None:
    world = World(alias)
    work = [world.write, world.write, *[world.read] * 5, world.read_awaiting, world.refresh]
    threads = [threading.Thread(target=one) for one in (*work, *([world.harm] if harmful else []))]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert world.wrong == []
    assert world.reads > READS


FLEET = """
import random, sys, threading, time
import django; django.setup()
from cachekit import engine
from cachekit.core.capture import depend
from cachekit.stores import store_for
from tests.making import spec_of

client, end, wrong = store_for("default").client, time.monotonic() + 2.5, []
specs = [spec_of("default", f"n{n}", timeout=0.3, grace=1, beta=1.0, jitter=0.5, wait=2) for n in range(3)]

def number(n):
    depend(f"number-{n}")
    value = int(client.get(f"truth:{n}") or 0)
    time.sleep(random.choice((0, 0.002, 0.02)))
    return value

def write():
    while time.monotonic() < end:
        n = random.randrange(3)
        value = client.incr(f"truth:{n}")
        if engine.invalidate(f"number-{n}", alias="default"):
            client.zadd("acknowledged", {str(n): value}, gt=True)
        time.sleep(0.005)

def read():
    while time.monotonic() < end:
        n = random.randrange(3)
        floor = client.zscore("acknowledged", str(n)) or 0
        value = engine.get_or_set(specs[n], lambda: number(n))
        if value < floor:
            wrong.append((n, value, floor))

print("ready", flush=True)
threads = [threading.Thread(target=one) for one in (write, read, read, read)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(wrong, flush=True)
"""


@pytest.mark.processes
def test_no_process_reads_what_is_older_though_another_is_killed() -> None:
    with process(FLEET) as one, process(FLEET) as two, process(FLEET) as victim:
        for child in (one, two, victim):
            assert line_of(child) == "ready"
        time.sleep(0.5)
        victim.kill()

        assert [line_of(one), line_of(two)] == ["[]", "[]"]
