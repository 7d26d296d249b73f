"""Two caches, and the settings under which a relay does more."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _two_caches(settings: Any) -> None:
    settings.CACHES = {name: settings.CACHES[name] for name in ("default", "memory")}


@pytest.fixture
def bounded(settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "MAX_STALENESS": 30}


@pytest.fixture
def always(settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "OUTBOX": "always"}
