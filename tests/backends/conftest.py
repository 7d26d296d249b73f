"""Fixtures of the CACHES door's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import caches

from cachekit import hooks
from tests.patience import patient
from tests.servers import Valkey

Make = Callable[..., Any]


@pytest.fixture
def cache() -> Any:
    """The Redis cache of alias `default`."""
    return caches["default"]


@pytest.fixture(params=["memory", "default"], ids=["memory", "redis"])
def any_cache(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The cache in memory, then the one on Redis."""
    found = caches[request.param]
    found.clear()
    yield found
    found.clear()


@pytest.fixture
def make(settings: Any, valkey: Valkey) -> Make:
    """`make(KEY_PREFIX="x", OPTIONS={…})` returns the cache of a new alias on the session's Valkey."""

    def made(alias: str = "made", backend: str = "cachekit.backends.RedisCache", **entry: Any) -> Any:
        entry = {"BACKEND": backend, "LOCATION": valkey.url, **entry, "OPTIONS": patient(entry.get("OPTIONS", {}))}
        settings.CACHES = {**settings.CACHES, alias: entry}
        return caches[alias]

    return made


@pytest.fixture
def lookups() -> Iterator[list[hooks.Lookup]]:
    """What the doors told of their look-ups."""
    told: list[hooks.Lookup] = []
    hooks.subscribe(hooks.Lookup, told.append)
    yield told
    hooks.unsubscribe(hooks.Lookup, told.append)


@pytest.fixture
def nobody(own_valkey: Valkey) -> str:
    """The URL of a server that has gone."""
    url = own_valkey.url
    own_valkey.kill()
    return url
