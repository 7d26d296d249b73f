"""The server's clock is set back and forth under a ledger that counts in its time."""

from __future__ import annotations

import time

import pytest

from tests.consistency.checker.cache_server import CacheServer, preload
from tests.faults.conftest import MakeSite
from tests.faults.site import Site, until
from tests.twins import Call


@pytest.mark.skipif(not preload(), reason="libfaketime is not installed (Debian: apt-get install libfaketime)")
def test_a_clock_set_back_and_forth(make_site: MakeSite) -> None:
    server = CacheServer()
    server.preload = preload()
    server.set_clock(0)
    with server:
        site: Site = make_site(server.url, Call(awaited=False))
        site.warm()
        for seconds in (-3600, 1800, 0):
            server.set_clock(seconds)
            until(lambda wanted=seconds: abs(ahead(server) - wanted) < 60)  # type: ignore[misc]

            site.go_on()
            site.recovers()


def ahead(server: CacheServer) -> float:
    """Return how many seconds a server's clock is ahead."""
    return int(server.say("TIME").split("\r\n")[2]) - time.time()
