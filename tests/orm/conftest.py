"""One cache is enough here: every write would otherwise be told to each alias."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _one_cache(request: pytest.FixtureRequest, settings: Any, _isolation: None) -> None:
    """Leave one alias, on the server; a module that asks thousands of questions says `CACHE = "memory"`."""
    from cachekit import testing

    settings.CACHES = {"default": settings.CACHES[getattr(request.module, "CACHE", "default")]}
    testing.reset()
