"""Servers that answer reads and refuse writes: nobody could invalidate there, so they count as away."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from cachekit import hooks
from tests.consistency.checker.cache_server import CacheServer
from tests.faults.site import BESIDE, Site
from tests.making import hearing


def fill(server: CacheServer) -> None:
    server.do("CONFIG SET maxmemory 1")


def empty(server: CacheServer) -> None:
    server.do("CONFIG SET maxmemory 0")


def break_snapshots(server: CacheServer) -> None:
    """Put a folder where the snapshot belongs, which makes each attempt to save fail."""
    (server.folder / "dump.rdb").mkdir()
    server.do('CONFIG SET save "3600 100000000"')
    server.do("BGSAVE")
    server.until("INFO persistence", "rdb_last_bgsave_status:err")


def mend_snapshots(server: CacheServer) -> None:
    (server.folder / "dump.rdb").rmdir()
    server.do("BGSAVE")
    server.until("INFO persistence", "rdb_last_bgsave_status:ok")


def demote(server: CacheServer) -> None:
    server.do("REPLICAOF 127.0.0.1 1")


def promote(server: CacheServer) -> None:
    server.do("REPLICAOF NO ONE")


def isolate(server: CacheServer) -> None:
    server.do("CONFIG SET min-replicas-to-write 1")


def join(server: CacheServer) -> None:
    server.do("CONFIG SET min-replicas-to-write 0")


Deed = Callable[[CacheServer], None]
REFUSALS: dict[str, tuple[Deed, Deed]] = {
    "OOM": (fill, empty),
    "MISCONF": (break_snapshots, mend_snapshots),
    "READONLY": (demote, promote),
    "NOREPLICAS": (isolate, join),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_server_that_refuses_writes(site: Site, server: CacheServer, name: str) -> None:
    breaks, mends = REFUSALS[name]

    site.trouble(lambda: breaks(server), lambda: mends(server))


@pytest.mark.parametrize("name", [name for name in REFUSALS if name != "OOM"])
def test_readers_know_it_without_a_write(site: Site, server: CacheServer, name: str) -> None:
    """A process that only reads would serve what no writer can invalidate any more."""
    breaks, mends = REFUSALS[name]
    site.warm()

    breaks(server)
    with hearing(hooks.StoreDown) as down:
        hits = [site.hits(BESIDE) for _ in range(4)]
    mends(server)

    assert hits == [False] * 4
    assert [event.alias for event in down] == [BESIDE]
    site.recovers()


@pytest.mark.parametrize("kind", ["valkey-called", "valkey-awaited"], indirect=True)
def test_eviction_of_whatever_is_used_least(site: Site, server: CacheServer) -> None:
    """Memory for a third of the pages: entries go, and parts of the ledger with them."""
    site.padding = "x" * 60_000
    server.do("CONFIG SET maxmemory-policy allkeys-lru")
    server.do("CONFIG SET maxmemory-samples 1")  # nearly at random: the root too is evicted
    rows = [f"row{n}" for n in range(60)]
    site.read(row=rows[0])
    used = int(next(line for line in server.say("INFO memory").splitlines() if line.startswith("used_memory:"))[12:])
    server.do(f"CONFIG SET maxmemory {used + 20 * 60_000}")

    ends = time.monotonic() + 1.0
    while time.monotonic() < ends:
        for n, row in enumerate(rows):
            if n % 3 == 0:
                site.write(row)
            site.read(row=row)
            site.read(BESIDE, row)

    assert "evicted_keys:0\r\n" not in server.say("INFO stats")
    server.do("CONFIG SET maxmemory 0")
    site.recovers()
