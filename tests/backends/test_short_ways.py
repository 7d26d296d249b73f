"""The short ways of the commonest calls lead where the long ones do."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import CacheKeyWarning

from cachekit import hooks, stats
from cachekit.exceptions import InvalidKey
from tests.backends.conftest import Make
from tests.servers import RedisServer
from tests.twins import Call

VALUES = {"text": "text", "half": "\ud800", "é": "é", "number": 5, "list": [1], "none": None, "bytes": b"\xc1\x04x"}


@pytest.mark.parametrize("timeout", [60, None])
def test_many_are_stored_on_a_server_of_any_age(
    make: Make, redis_server: RedisServer, valkey: Any, call: Call, timeout: int | None
) -> None:
    for url in (redis_server.url, valkey.url):
        cache = make(f"made-{url}", LOCATION=url, KEY_PREFIX="many")

        for _ in range(2):
            assert call(cache.set_many, VALUES, timeout) == []

            assert call(cache.get_many, [*VALUES, "nothing"]) == VALUES
            assert {key: call(cache.get, key) for key in VALUES} == VALUES
            assert (cache.ttl("text") is None) is (timeout is None)
            call(cache.delete_many, list(VALUES))


def test_more_than_a_batch_is_stored(cache: Any, call: Call) -> None:
    values = {f"k{number}": number for number in range(1201)}

    assert call(cache.set_many, values) == []

    assert call(cache.get_many, values) == values


def test_what_was_written_into_a_generation_that_passed_is_removed(cache: Any, call: Call) -> None:
    call(cache.set, "n", 1)
    generation, client = cache.line.generation, cache.cachekit_store.client
    client.set(generation.key, f"{generation.family}elsewher:")

    assert call(cache.set, "n", 2) is True

    assert call(cache.get, "n") == 2
    assert client.keys(f"{generation.family}*") == [f"{generation.family}elsewher:{cache.named('n', None)}".encode()]


def test_broken_text_is_a_miss_that_counts_as_an_error(cache: Any, call: Call, lookups: list[hooks.Lookup]) -> None:
    line = cache.line
    name = line.run(line.generation.learnt()).text + cache.named("k", None)
    cache.cachekit_store.client.set(name, b"\xc1\x04\xff")

    assert call(cache.get, "k", "default") == "default"
    assert call(cache.get_many, ["k"]) == {}

    assert [one.result for one in lookups] == ["error", "error"]


def test_one_doubtful_key_among_many_is_noticed(cache: Any, call: Call) -> None:
    with pytest.warns(CacheKeyWarning, match="will cause errors"):
        call(cache.get_many, ["fine", "with space"])
    with pytest.raises(InvalidKey):
        call(cache.get_many, ["fine", "x" * 100_000])


def test_keys_of_one_name_are_one(cache: Any, call: Call) -> None:
    call(cache.set_many, {1: "one", "two": 2})

    assert call(cache.get_many, ["1", 1, "two", "two"]) == {1: "one", "two": 2}


def test_every_key_of_many_is_counted_and_told(cache: Any, call: Call, lookups: list[hooks.Lookup]) -> None:
    call(cache.set_many, {"a": 1, "b": 2})
    stats.forget()

    call(cache.get_many, ["a", "b", "c"])

    assert sorted(one.result for one in lookups) == ["hit", "hit", "miss"]
    asked = ("default", "backend", "get_many")
    assert [stats.counted()[*asked, result] for result in ("hit", "miss")] == [2, 1]
