"""Fixtures of the fault tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.consistency.checker.cache_server import CacheServer
from tests.faults.site import PAUSE, PROCESSES, Site, entry
from tests.servers import Missing
from tests.twins import Call

MakeSite = Callable[..., Site]


@pytest.fixture(params=["valkey-called", "valkey-awaited", "redis-called"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which server, and whether the site calls or awaits."""
    return str(request.param)


@pytest.fixture
def server(kind: str) -> Iterator[CacheServer]:
    """A server for this test alone, which may kill it and start it again."""
    try:
        made = CacheServer.named(kind.partition("-")[0])
    except Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    made.extra = ["--shutdown-timeout", "0"]
    with made:
        yield made
        made.resume()


@pytest.fixture
def make_site(settings: Any) -> MakeSite:
    """`make_site(url, call)` returns a site with two processes on the server at this URL; `options` are CACHES'."""

    def made(url: str, call: Call, *, padding: int = 0, **options: Any) -> Site:
        settings.CACHEKIT = {"BREAKER_PAUSE": PAUSE, "STATS_INTERVAL": 0}
        settings.CACHES = {**settings.CACHES, **{alias: entry(url, **options) for alias in PROCESSES}}
        return Site(call, padding=padding)

    return made


@pytest.fixture
def site(server: CacheServer, kind: str, make_site: MakeSite) -> Site:
    """A site with two processes on a server of its own."""
    return make_site(server.url, Call(awaited=kind.endswith("awaited")))
