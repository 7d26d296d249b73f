"""Who asks the API of the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.contrib.auth.models import User

Ask = Callable[..., Any]


@pytest.fixture(autouse=True)
def _api(settings: Any, _isolation: None) -> None:
    """The API of the tests, and one cache."""
    from cachekit import testing
    from tests.contrib.drf.answers import CALLS

    settings.ROOT_URLCONF = "tests.contrib.drf.api"
    settings.CACHEKIT = {"DEBUG_HEADER": True}
    settings.ALLOWED_HOSTS = ["*"]
    settings.CACHES = {"default": settings.CACHES["default"]}
    testing.reset()
    CALLS.clear()


@pytest.fixture
def ask() -> Ask:
    """`ask("books/", alice)` asks as somebody, `accept="text/html"` and the like are headers."""

    from rest_framework.test import APIClient

    def do(where: str, person: User | str | None = None, *, method: str = "get", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if person is not None:
            named["authorization"] = f"Name {person}"
        return getattr(APIClient(), method)(f"/{where}", headers=named)

    return do


@pytest.fixture
def alice(db: None) -> User:
    return _made("alice")


@pytest.fixture
def bob(db: None) -> User:
    return _made("bob")


def _made(name: str) -> User:
    from django.contrib.auth.models import User

    return User.objects.create_user(name)


def seen(response: Any) -> str:
    """Return HIT, MISS or BYPASS."""
    return str(response.headers.get("X-Cachekit", "")).partition(";")[0]
