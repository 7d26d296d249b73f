"""The server ends, comes back with an older state, freezes or forgets."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.consistency.checker.cache_server import CacheServer
from tests.faults.conftest import MakeSite
from tests.faults.site import Site
from tests.twins import Call

AOF = ("--appendonly", "yes", "--appendfsync", "always")


def test_killed_and_restarted_empty(site: Site, server: CacheServer) -> None:
    site.trouble(server.kill, server.start)


def test_killed_and_back_before_anybody_noticed(site: Site, server: CacheServer) -> None:
    def crash() -> None:
        server.kill()
        server.start()

    site.trouble(lambda: None, crash)


def test_restored_from_an_old_rdb(site: Site, server: CacheServer) -> None:
    """Entries and points come back together, as they were before an invalidation."""
    site.warm()
    server.do("SAVE")
    site.go_on()

    server.kill()
    site.write("other")  # what is written to the row now would be told again, and hide what was lost
    site.read_everywhere(2)
    server.start()

    server.until("EXISTS {ck}:root", ":1")  # the old state is there
    site.read_everywhere(2)
    site.recovers()


def test_restored_from_an_old_rdb_before_anybody_noticed(site: Site, server: CacheServer) -> None:
    site.warm()
    server.do("SAVE")
    site.go_on()

    server.kill()
    server.start()

    site.read_everywhere(2)
    site.recovers()


def test_restarted_from_its_aof(site: Site, server: CacheServer) -> None:
    server.extra += AOF
    server.restart()

    site.trouble(server.kill, server.start)


def test_restored_from_an_old_aof(site: Site, server: CacheServer) -> None:
    server.extra += AOF
    server.restart()
    site.warm()
    shutil.copytree(server.folder / "appendonlydir", server.folder / "backup")
    site.go_on()

    server.kill()
    shutil.rmtree(server.folder / "appendonlydir")
    (server.folder / "backup").rename(server.folder / "appendonlydir")
    server.start()

    server.until("EXISTS {ck}:root", ":1")  # the old state is there
    site.read_everywhere(2)
    site.recovers()


@pytest.mark.parametrize("kind", ["valkey-called", "valkey-awaited"], indirect=True)
def test_frozen_and_resumed(server: CacheServer, kind: str, make_site: MakeSite) -> None:
    site = make_site(server.url, Call(awaited=kind.endswith("awaited")), SOCKET_TIMEOUT=0.3, SOCKET_CONNECT_TIMEOUT=0.3)
    site.warm()

    server.pause()
    site.go_on(1)
    server.resume()

    site.go_on()
    site.recovers()


@pytest.mark.parametrize("line", ["FLUSHALL", "FLUSHDB", "SCRIPT FLUSH", "CLIENT KILL TYPE normal"])
def test_an_operator_empties_or_cuts(site: Site, server: CacheServer, line: str) -> None:
    def strike() -> None:
        server.do(line)

    site.warm()
    for _ in range(3):
        for before, after in AROUND:
            before(site)
            strike()
            after(site)
    site.recovers()


AROUND: list[tuple[Callable[[Site], object], Callable[[Site], object]]] = [
    (Site.read_everywhere, Site.read_everywhere),
    (Site.write, Site.read_everywhere),
    (Site.read_everywhere, Site.write),
    (Site.write, Site.write),
]
