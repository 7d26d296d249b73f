"""`OPTIONS["NEAR"]`: what `caches[alias]` reads stays in the process until somebody writes to its key."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from cachekit import invalidate, stats
from cachekit.stores.redis import RedisStore
from tests.servers import Valkey
from tests.twins import Call

NAME = "default"
LISTED = [{"n": 1}, {"n": 2}]


@pytest.fixture
def cache(valkey: Valkey, use_cache: Callable[..., None]) -> BaseCache:
    use_cache(valkey.url, NAME, OPTIONS={"NEAR": True})
    return caches[NAME]


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def warm(cache: Any, key: str) -> None:
    def done() -> bool:
        cache.get(key)
        return cache._nearby is not None and cache._nearby.near.get(key) is not None

    until(done)


def test_a_hit_asks_no_server(cache: Any, valkey: Valkey, call: Call) -> None:
    cache.set("a", "value")
    warm(cache, "a")

    def asks_nothing() -> bool:
        cache.get("a")
        valkey.say("CONFIG RESETSTAT")
        assert [call(cache.get, "a") for _ in range(5)] == ["value"] * 5
        return "cmdstat_get:" not in valkey.say("INFO commandstats")

    until(asks_nothing)


WRITES: dict[str, tuple[Callable[[Any], object], object]] = {
    "set": (lambda cache: cache.set("n", 2), 2),
    "set_many": (lambda cache: cache.set_many({"n": 3, "m": 4}), 3),
    "incr": (lambda cache: cache.incr("n"), 2),
    "incr from nothing": (lambda cache: cache.incr("n", ignore_key_check=True), 2),
    "delete": (lambda cache: cache.delete("n"), None),
    "delete_many": (lambda cache: cache.delete_many(["n", "m"]), None),
    "delete_pattern": (lambda cache: cache.delete_pattern("n*"), None),
    "over at once": (lambda cache: cache.set("n", 9, timeout=0), None),
    "touched away": (lambda cache: cache.touch("n", 0), None),
    "expired": (lambda cache: cache.expire("n", 0), None),
    "moved": (lambda cache: cache.incr_version("n"), None),
    "clear": (lambda cache: cache.clear(), None),
}


@pytest.mark.parametrize("write", WRITES)
def test_who_writes_reads_what_was_written(cache: Any, write: str) -> None:
    cache.set("n", 1)
    warm(cache, "n")
    deed, left = WRITES[write]

    deed(cache)

    assert cache.get("n") == left


@pytest.mark.parametrize("write", WRITES)
def test_other_processes_hear_of_it(cache: Any, write: str) -> None:
    cache.set("n", 1)
    warm(cache, "n")
    deed, left = WRITES[write]
    store = cache.cachekit_store
    theirs = RedisStore(NAME, store.prefix, store.client)
    mirror, store.mirror.doubt = store.mirror.doubt, lambda *_: None
    told = cache.line.generation.teller
    told._store = theirs  # their own mirror has the doubts
    try:
        deed(cache)
    finally:
        store.mirror.doubt = mirror
        told._store = store

    until(lambda: cache.get("n") == left)


def test_a_key_set_in_time_is_a_hit_again(cache: Any) -> None:
    for n in range(3):
        cache.set("n", n)
        assert cache.get("n") == n
        warm(cache, "n")
        assert cache.get("n") == n


def test_readers_get_values_of_their_own(cache: Any) -> None:
    cache.set("rows", LISTED)
    warm(cache, "rows")
    for _ in range(3):
        found = cache.get("rows")
        assert found == LISTED
        found[0]["n"] = 99


def test_it_does_not_outlive_its_timeout(cache: Any) -> None:
    def is_kept() -> bool:
        cache.set("n", 1, timeout=1.5)
        while cache.get("n") == 1:  # a busy machine may need another
            if cache._nearby.near.get("n") is not None:
                return True
        return False

    until(is_kept)

    until(lambda: cache.get("n") is None)


def test_other_keys_stay(cache: Any) -> None:
    cache.set_many({"a": 1, "b": 2})
    warm(cache, "a")

    cache.set("b", 3)

    until(lambda: cache._nearby.near.get("a") is not None)
    assert (cache.get("a"), cache.get("b")) == (1, 3)


def test_a_script_that_was_flushed_is_brought_along(cache: Any, valkey: Valkey) -> None:
    cache.set("n", 1)
    warm(cache, "n")
    valkey.say("SCRIPT FLUSH")

    cache.set("n", 2)

    assert cache.get("n") == 2
    warm(cache, "n")


def test_versions_and_what_is_no_text_ask_the_server(cache: Any) -> None:
    cache.set(1, "number")
    cache.set("1", "text", version=2)
    warm(cache, "1")

    assert (cache.get(1), cache.get("1"), cache.get("1", version=2)) == ("number", "number", "text")
    assert cache.get(True) is None


def test_everything_invalidated_is_everything(cache: Any) -> None:
    cache.set("n", 1)
    warm(cache, "n")

    invalidate("*")

    assert cache._nearby.near.get("n") is None
    assert cache.get("n") == 1


def test_hits_are_counted(cache: Any) -> None:
    cache.set("n", 1)
    warm(cache, "n")
    cache.get("n")

    assert stats.counted()[NAME, "backend", "near", "hit"] >= 1


def test_who_only_tells_keeps_nothing_and_is_heard_by_whatever_alias(
    cache: Any, valkey: Valkey, use_cache: Callable[..., None]
) -> None:
    for other in ("plain", "fake"):
        use_cache(valkey.url, other, BACKEND="cachekit.backends.RedisCache", KEY_PREFIX="", OPTIONS={"NEAR": "tell"})
    cache = caches[NAME]
    teller: Any = caches["plain"]
    cache.set("n", 0)

    for number, other in enumerate(("plain", "fake", NAME), 1):
        warm(cache, "n")
        caches[other].set("n", number)
        until(lambda: cache.get("n") == number)  # noqa: B023 - asked at once

    assert teller._nearby is None


def test_a_project_with_its_own_keys_asks_the_server(valkey: Valkey, use_cache: Callable[..., None]) -> None:
    use_cache(valkey.url, NAME, OPTIONS={"NEAR": True}, KEY_FUNCTION=lambda key, prefix, version: f"mine:{key}")
    cache: Any = caches[NAME]
    cache.set("n", 1)

    assert cache.get("n") == 1
    assert cache._nearby is None
