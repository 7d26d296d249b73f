"""Bad keys, and keys found by pattern."""

from __future__ import annotations

import time
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import CacheKeyWarning, caches
from django_redis import get_redis_connection

from cachekit.exceptions import InvalidKey
from tests.backends.conftest import Make
from tests.twins import Call

MANY = 200_000


@pytest.mark.parametrize("key", ["with space", "line\nbreak", "nul\x00", "del\x7f", "k" * 251])
def test_a_doubtful_key_warns_and_works(any_cache: Any, call: Call, key: str) -> None:
    with pytest.warns(CacheKeyWarning):
        call(any_cache.set, key, 1)
    with pytest.warns(CacheKeyWarning):
        assert call(any_cache.get, key) == 1


@pytest.mark.parametrize("key", ["clé", "清", "a:b:c", "\ud800", "{braces}", "*"])
def test_an_unusual_key_works(cache: Any, call: Call, key: str) -> None:
    call(cache.set, key, 1)

    assert call(cache.get, key) == 1
    assert call(cache.get_many, [key]) == {key: 1}
    assert call(cache.keys, "*") == [key]


@pytest.mark.parametrize("method", ["get", "has_key", "delete", "touch", "incr", "ttl"])
def test_a_key_of_ten_megabytes_is_refused(cache: Any, call: Call, method: str) -> None:
    with pytest.raises(InvalidKey, match=r"10,485,76\d characters .* Put a hash"):
        call(getattr(cache, method), "k" * (10 * 1024 * 1024))


@pytest.mark.parametrize("prefix", ["", "shop", "shop:eu", "a*b", "[x]", "back\\slash"])
def test_keys_come_back_as_they_were_written(make: Make, call: Call, prefix: str) -> None:
    cache = make(KEY_PREFIX=prefix)
    other = make("other", KEY_PREFIX=f"{prefix}x")
    call(cache.set_many, {"user:1": 1, "user:2": 2, "group:1": 3})
    other.set("user:9", 9)

    assert sorted(call(cache.keys, "user:*")) == ["user:1", "user:2"]
    assert sorted(cache.iter_keys("*")) == ["group:1", "user:1", "user:2"]
    assert call(cache.delete_pattern, "user:?") == 2
    assert call(cache.keys, "*") == ["group:1"]
    assert other.get("user:9") == 9


def test_keys_of_another_version(cache: Any, call: Call) -> None:
    cache.set("k", 1, version=2)

    assert call(cache.keys, "*") == []
    assert call(cache.keys, "*", version=2) == ["k"]
    assert call(cache.delete_pattern, "*", version=2) == 1


def test_keys_are_iterated_awaited(cache: Any) -> None:
    cache.set_many({f"k{number}": number for number in range(300)})

    async def main() -> set[str]:
        return {key async for key in cache.aiter_keys("k*", itersize=20)}

    assert async_to_sync(main)() == set(cache.iter_keys("k*", itersize=20)) == {f"k{number}" for number in range(300)}


def shouting(key: str, prefix: str, version: int) -> str:
    return f"{prefix}!{version}!{key.upper()}"


def whispering(key: str) -> str:
    return key.split("!", 2)[2].lower()


def test_a_key_function_has_its_reverse(make: Make, call: Call) -> None:
    cache = make(KEY_FUNCTION=shouting, REVERSE_KEY_FUNCTION=f"{__name__}.whispering")
    call(cache.set, "k", 1)

    assert call(cache.get, "K") == 1
    assert call(cache.keys, "*") == ["k"]


def test_a_made_key_is_taken_as_it_is(cache: Any, call: Call) -> None:
    name = cache.client.make_key("k")

    call(cache.set, name, 1)

    assert call(cache.get, "k") == 1
    assert call(cache.incr_version, name) == 2
    assert call(cache.get, "k", version=2) == 1


def test_a_pattern_over_many_keys_is_quick(cache: Any) -> None:
    raw = get_redis_connection("default")
    raw.eval(f"for i=1,{MANY} do redis.call('SET', KEYS[1]..i, 1) end", 1, cache.client.make_key("many"))

    started = time.monotonic()
    removed = cache.delete_pattern("many*")

    assert removed == MANY
    assert time.monotonic() - started < 10  # django-redis's pages of 10 keys take longer for a tenth of it


def test_django_redis_reads_and_deletes_as_ever_beside_us(cache: Any) -> None:
    plain = caches["plain"]
    plain.set("k", 1)

    assert cache.delete_pattern("*") == 0
    assert plain.get("k") == 1
