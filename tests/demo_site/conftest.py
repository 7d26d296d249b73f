"""A small shop, and a visitor's browser that shows what cachekit and the database did."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

STONES = 400


@pytest.fixture
def stocked(transactional_db: None, settings: Any) -> None:
    """A shop of 400 stones, with the demo's own middleware and the header that tells hit from miss."""
    settings.CACHEKIT = {"DEBUG_HEADER": True}
    settings.MIDDLEWARE = [
        "demo_site.middleware.StrictPolicy",
        "demo_site.middleware.CountQueries",
        *settings.MIDDLEWARE,
    ]
    call_command("load_diamonds", limit=STONES, stdout=StringIO())


@pytest.fixture
def visitor(stocked: None) -> Client:
    """Somebody who is not logged in."""
    return Client()
