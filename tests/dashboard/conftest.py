from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.test import Client

    from tests.dashboard.people import Login


@pytest.fixture(autouse=True)
def _own_counts(settings: Any) -> Iterator[None]:
    from cachekit import stats

    settings.CACHEKIT = {**getattr(settings, "CACHEKIT", {}), "STATS_INTERVAL": 3600}
    stats.forget()
    yield
    stats.forget()


@pytest.fixture
def login(db: None) -> Login:
    """`login("viewer")` gives the browser of such a person; see PEOPLE."""
    from tests.dashboard.people import logged_in

    return logged_in


@pytest.fixture
def operator(login: Login) -> Client:
    """The browser of somebody who may look and purge."""
    return login("operator")
