"""One cache is enough here: every write would otherwise be told to each alias."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _one_cache(settings: Any, _isolation: None) -> None:
    from cachekit import testing

    settings.CACHES = {"default": settings.CACHES["default"]}
    testing.reset()
