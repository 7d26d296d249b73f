"""A database for tests of whole requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.emptying import emptied


@pytest.fixture
def _django_db_helper(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Do what `django_db(transaction=True)` asks for, in place of pytest-django's fixture of that name."""
    with emptied(django_db_blocker):
        yield
