"""The faults: each breaks something, says how long it stays broken, and mends it."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from tests.consistency.checker.cache_server import CacheServer, preload
from tests.servers import Postgres


class Stage(Protocol):
    """What can be broken."""

    cache: CacheServer
    database: Postgres
    random: random.Random

    def kill(self, role: str) -> None:
        """Kill a process of a role with -9 and start another."""

    def signal(self, role: str, number: int) -> None:
        """Send a signal to a process of a role."""

    def has(self, role: str) -> bool:
        """Tell whether there is a process of a role."""


Fault = Callable[[Stage], Iterator[float]]
"""Breaks, yields the seconds that it lasts (more than once if it goes on in steps), and mends."""

FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Fault], Fault]:
    """Enter a fault into the list, in the words of the report."""

    def enter(made: Fault) -> Fault:
        FAULTS[name] = made
        return made

    return enter


@fault("killed, restarted empty")
def killed(stage: Stage) -> Iterator[float]:
    """Kill the cache server; it comes back with nothing."""
    stage.cache.kill()
    yield stage.random.uniform(0.2, 1.2)
    stage.cache.forget()
    stage.cache.start()


@fault("restarted from an old snapshot")
def restored(stage: Stage) -> Iterator[float]:
    """Save, go on writing, kill, come back with what was saved."""
    stage.cache.do("SAVE")
    yield stage.random.uniform(0.8, 1.5)
    stage.cache.kill()
    yield stage.random.uniform(0, 0.4)
    stage.cache.start()
    stage.cache.forget()


@fault("restarted from an append-only file without its end")
def truncated(stage: Stage) -> Iterator[float]:
    """Lose what `appendfsync everysec` may lose when the machine goes down, at any byte."""
    stage.cache.do("CONFIG SET appendonly yes")
    stage.cache.until("INFO persistence", "aof_rewrite_in_progress:0")
    stage.cache.until("INFO persistence", "aof_rewrite_scheduled:0")
    yield 0.3
    (part,) = stage.cache.parts_of_log()[-1:]
    size = part.stat().st_size
    yield stage.random.uniform(0.3, 1.0)
    stage.cache.kill()
    with part.open("r+b") as file:
        file.truncate(size)
    stage.cache.extra = ["--appendonly", "yes"]
    stage.cache.start()
    stage.cache.extra = []
    yield 0.3
    stage.cache.do("CONFIG SET appendonly no")


@fault("paused for less than a timeout")
def hiccup(stage: Stage) -> Iterator[float]:
    """Stop the cache server and let it go on, several times."""
    for _ in range(4):
        stage.cache.pause()
        yield stage.random.uniform(0.02, 0.2)
        stage.cache.resume()
        yield 0.15


@fault("paused for longer than a timeout")
def frozen(stage: Stage) -> Iterator[float]:
    """Stop the cache server for seconds: what waited in its sockets is carried out late."""
    stage.cache.pause()
    yield stage.random.uniform(0.6, 2.0)
    stage.cache.resume()


def _said(name: str, line: str) -> None:
    @fault(name)
    def repeated(stage: Stage) -> Iterator[float]:
        for _ in range(4):
            stage.cache.do(line)
            yield stage.random.uniform(0.1, 0.4)


_said("FLUSHALL", "FLUSHALL")
_said("FLUSHDB", "FLUSHDB")
_said("SCRIPT FLUSH", "SCRIPT FLUSH")
_said("connections killed", "CLIENT KILL TYPE normal SKIPME yes")


@fault("out of memory, nothing evicted")
def full(stage: Stage) -> Iterator[float]:
    """Let it refuse writes for want of memory."""
    stage.cache.do("CONFIG SET maxmemory 1")
    yield stage.random.uniform(0.6, 1.5)
    stage.cache.do("CONFIG SET maxmemory 0")


@fault("snapshots fail, writes refused")
def misconfigured(stage: Stage) -> Iterator[float]:
    """Let it refuse writes because it cannot save (MISCONF)."""
    place = stage.cache.folder
    stage.cache.do('CONFIG SET save "3600 1"')
    stage.cache.do("CONFIG SET dir /proc")
    stage.cache.do("BGSAVE")
    stage.cache.until("INFO persistence", "rdb_last_bgsave_status:err")
    yield stage.random.uniform(0.6, 1.5)
    stage.cache.do(f"CONFIG SET dir {place}")
    stage.cache.do('CONFIG SET save ""')
    stage.cache.do("BGSAVE")
    stage.cache.until("INFO persistence", "rdb_last_bgsave_status:ok")
    stage.cache.forget()


@fault("made a replica, read-only")
def demoted(stage: Stage) -> Iterator[float]:
    """Make it a replica of nobody who answers, and a primary again."""
    stage.cache.do("REPLICAOF 127.0.0.1 1")
    yield stage.random.uniform(0.6, 1.5)
    stage.cache.do("REPLICAOF NO ONE")


@fault("too few replicas, writes refused")
def lonely(stage: Stage) -> Iterator[float]:
    """Let it refuse writes for want of replicas (NOREPLICAS)."""
    stage.cache.do("CONFIG SET min-replicas-to-write 1")
    yield stage.random.uniform(0.6, 1.5)
    stage.cache.do("CONFIG SET min-replicas-to-write 0")


@fault("evictions under allkeys-lru")
def evicting(stage: Stage) -> Iterator[float]:
    """Fill it up with others' keys until it evicts."""
    used = int(stage.cache.do("INFO memory").split("used_memory:")[1].split()[0])
    stage.cache.do("CONFIG SET maxmemory-policy allkeys-lru")
    stage.cache.do(f"CONFIG SET maxmemory {used + 500_000}")
    over = threading.Event()
    number = 0

    def fill() -> None:
        nonlocal number
        while not over.wait(0.01):
            number += 1
            stage.cache.say(f"SET filler:{number} {'x' * 30_000} EX 20")

    filling = threading.Thread(target=fill)
    filling.start()
    try:
        yield stage.random.uniform(1.0, 2.0)
    finally:
        over.set()
        filling.join()
    stage.cache.do("CONFIG SET maxmemory 0")
    stage.cache.do("CONFIG SET maxmemory-policy noeviction")


@fault("failover that loses the last writes")
def failover(stage: Stage) -> Iterator[float]:
    """Cut a replica off, let the primary go on, kill it, put the replica in its place."""
    other = stage.cache.replica()
    yield 0.3
    other.do("REPLICAOF NO ONE")
    yield stage.random.uniform(0.2, 1.0)
    stage.cache.become(other)


CLOCK = "clock set back and forth"


@fault(CLOCK)
def clock(stage: Stage) -> Iterator[float]:
    """Let the cache server live by a clock that jumps."""
    stage.cache.set_clock(0)
    stage.cache.preload = preload()
    stage.cache.forget()
    stage.cache.restart()
    for seconds in (0, -stage.random.uniform(5, 60), stage.random.uniform(3, 20), 0):
        stage.cache.set_clock(seconds)
        yield stage.random.uniform(1.1, 1.6)
    stage.cache.preload = ""
    stage.cache.restart()


@fault("writer killed")
def writer(stage: Stage) -> Iterator[float]:
    """Kill writers at any line; others take their place."""
    for _ in range(3):
        stage.kill("writer")
        yield stage.random.uniform(0.1, 0.5)


@fault("relay killed")
def relay(stage: Stage) -> Iterator[float]:
    """Kill the relay, where there is one, while the cache server is away."""
    stage.cache.pause()
    yield 0.4
    if stage.has("relay"):
        stage.kill("relay")
    stage.kill("writer")
    yield 0.2
    stage.cache.resume()


@fault("database killed and restarted")
def database(stage: Stage) -> Iterator[float]:
    """Kill every process of PostgreSQL; what was committed is recovered."""
    stage.database.kill()
    yield 0.1
    stage.database.start()


@fault("reader forks")
def fork(stage: Stage) -> Iterator[float]:
    """Let a reader go on in two processes, with the connections that it had."""
    stage.signal("reader", signal.SIGUSR1)
    yield 1.6


NOTHING = "no fault"
LAST = "database killed and restarted"
"""Comes at the end of each round: some libraries invalidate nothing more in a process that has seen it."""
SHORT = ("killed, restarted empty", "paused for longer than a timeout", "FLUSHALL", "writer killed")
"""What the test in the suite goes through."""
