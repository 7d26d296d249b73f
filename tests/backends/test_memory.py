"""`MemoryCache` is Django's local-memory cache with a store, counted and awaited without threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches

from cachekit import cached, hooks
from cachekit.backends import MemoryCache
from cachekit.exceptions import UncacheableValue
from tests.twins import Call


@pytest.fixture
def cache() -> Any:
    """The cache of alias `memory`."""
    found = caches["memory"]
    found.clear()
    return found


def test_every_call_has_its_twin(cache: Any, call: Call) -> None:
    assert call(cache.add, "k", 1) is True
    assert call(cache.get, "k") == 1
    assert call(cache.incr, "k") == 2
    assert call(cache.decr, "k") == 1
    assert call(cache.touch, "k", 5) is True
    assert call(cache.incr_version, "k") == 2
    assert call(cache.has_key, "k", version=2) is True
    assert call(cache.set_many, {"a": 1, "b": 2}) == []
    assert call(cache.get_many, ["a", "b", "c"]) == {"a": 1, "b": 2}
    assert call(cache.delete_many, ["a"]) is None
    assert call(cache.get_or_set, "a", 7) == 7
    assert call(cache.delete, "b") is True
    call(cache.clear)
    assert call(cache.get, "a") is None


def test_awaiting_takes_no_thread(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(MemoryCache, "get", lambda *_: seen.append(threading.get_ident()))

    async def main() -> int:
        await cache.aget("k")
        return threading.get_ident()

    assert [async_to_sync(main)()] == seen


def test_lookups_are_counted(cache: Any, lookups: list[hooks.Lookup]) -> None:
    cache.set("user:1", None)
    cache.get("user:1")
    cache.get_many(["user:1", "7"])

    assert [(one.alias, one.name, one.result) for one in lookups] == [
        ("memory", "user", "hit"),
        ("memory", "user", "hit"),
        ("memory", "other", "miss"),
    ]


def test_clear_reaches_the_other_doors(cache: Any, call: Call) -> None:
    calls: list[int] = []

    @cached(alias="memory")
    def counted() -> int:
        calls.append(1)
        return len(calls)

    assert (counted(), counted()) == (1, 1)

    call(cache.clear)

    assert counted() == 2


def test_clear_reaches_every_alias_of_the_same_memory(settings: Any, cache: Any, call: Call) -> None:
    settings.CACHES = {**settings.CACHES, "twin": settings.CACHES["memory"]}
    calls: list[str] = []
    counted = [cached(alias=alias, name=alias)(lambda: len(calls)) for alias in ("memory", "twin")]
    assert [ask() for ask in counted] == [0, 0]
    calls.append("changed")

    call(caches["twin"].clear)

    assert [ask() for ask in counted] == [1, 1]


def test_a_cache_made_by_hand(call: Call) -> None:
    cache: Any = MemoryCache("by-hand", {})

    call(cache.set, "k", 1)

    assert cache.alias == ""
    assert call(cache.get, "k") == 1
    call(cache.clear)


def test_an_error_that_is_not_the_values_stays_what_it_is(cache: Any) -> None:
    with pytest.raises(TypeError) as caught:
        cache.set("k", 1, timeout="soon")

    assert not isinstance(caught.value, UncacheableValue)
