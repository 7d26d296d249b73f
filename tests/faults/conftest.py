"""Fixtures of the fault tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.site import PAUSE, Site, entry
from tests.twins import Call

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(settings: Any, call: Call) -> MakeSite:
    """`make_site(url, OPTION=…)` returns a site with two processes on the server at this URL."""

    def made(url: str, **options: Any) -> Site:
        settings.CACHEKIT = {"BREAKER_PAUSE": PAUSE, "STATS_INTERVAL": 0}
        both = {alias: entry(url, **options) for alias in ("default", "beside")}
        settings.CACHES = {**settings.CACHES, **both}
        return Site(call, others=("beside",))

    return made
