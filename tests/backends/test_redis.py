"""The contract of `RedisCache`, called and awaited; Django's own tests of it are in tests/contract/."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django_redis import get_redis_connection
from redis.exceptions import ResponseError

from tests.backends.conftest import Make
from tests.twins import Call


@pytest.mark.parametrize(
    "value", [1, -7, 2**63 - 1, 2**63, -(2**70), True, 1.5, "text", "", b"\x00", None, [1], {"a": (1,)}]
)
def test_a_value_comes_back_as_it_was(cache: Any, call: Call, value: Any) -> None:
    call(cache.set, "k", value)

    found = call(cache.get, "k", "default")

    assert (found, type(found)) == (value, type(value))


def test_a_missing_key_gives_the_default(cache: Any, call: Call) -> None:
    assert call(cache.get, "missing") is None
    assert call(cache.get, "missing", "default") == "default"


def test_integers_stay_raw_for_the_server_to_count(cache: Any, call: Call) -> None:
    call(cache.set, "k", 41)

    name = cache.client.make_key("k")

    assert get_redis_connection("default").get(name) == b"41"


def test_set_says_whether_it_stored(cache: Any, call: Call) -> None:
    assert call(cache.set, "k", 1, xx=True) is False
    assert call(cache.set, "k", 1, nx=True) is True
    assert call(cache.set, "k", 2, nx=True) is False
    assert call(cache.set, "k", 3, xx=True) is True
    assert call(cache.get, "k") == 3


@pytest.mark.parametrize("timeout", [0, -1, 0.0004])
def test_a_timeout_that_is_over_removes(cache: Any, call: Call, timeout: float) -> None:
    call(cache.set, "k", 1)

    assert call(cache.set, "k", 2, timeout) is True
    assert call(cache.get, "k") is None
    assert call(cache.add, "k", 3, timeout) is True
    assert call(cache.get, "k") is None


def test_half_a_second_is_half_a_second(cache: Any, call: Call) -> None:
    left = []
    for _ in range(20):  # a busy machine may take its time between two calls
        call(cache.set, "k", 1, 9.5)
        call(cache.set_many, {"m": 1}, 9.5)
        call(cache.set, "t", 1)
        call(cache.touch, "t", 9.5)
        left = [call(cache.pttl, key) for key in "kmt"]
        if min(left) > 9_000:
            break

    assert all(9_000 < one <= 9_500 for one in left)


def test_touch_takes_the_timeout_away(cache: Any, call: Call) -> None:
    call(cache.set, "k", 1, 10)

    assert call(cache.touch, "k", None) is True
    assert call(cache.ttl, "k") is None
    assert call(cache.touch, "k", None) is True
    assert call(cache.touch, "missing", None) is False


def test_the_default_timeout_is_the_settings(make: Make, call: Call) -> None:
    cache = make(TIMEOUT=42)

    call(cache.set, "k", 1)
    call(cache.set, "e", 1, None)
    call(cache.expire, "e", DEFAULT_TIMEOUT)

    assert 30 < call(cache.ttl, "k") <= 42
    assert 30 < call(cache.ttl, "e") <= 42


def test_counting(cache: Any, call: Call) -> None:
    call(cache.set, "k", 1, 100)

    assert call(cache.incr, "k", 4) == 5
    assert call(cache.decr, "k") == 4
    assert 80 < call(cache.ttl, "k") <= 100
    assert call(cache.incr, "new", 3, ignore_key_check=True) == 3


@pytest.mark.parametrize(
    ("start", "delta", "total"), [(1.5, 1, 2.5), (1, 0.5, 1.5), (2**63 - 1, 1, 2**63), (2**63, 1, 2**63 + 1)]
)
def test_counting_what_the_server_cannot(cache: Any, call: Call, start: Any, delta: Any, total: Any) -> None:
    call(cache.set, "k", start, 100)

    assert call(cache.incr, "k", delta) == total
    assert call(cache.get, "k") == total
    assert 80 < call(cache.ttl, "k") <= 100


@pytest.mark.parametrize("parent", [TypeError, ResponseError])
def test_what_is_no_number_does_not_count(cache: Any, call: Call, parent: type[Exception]) -> None:
    call(cache.set, "k", None)

    with pytest.raises(parent, match="NoneType cannot be incremented"):
        call(cache.incr, "k")


def test_nothing_is_not_counted(cache: Any, call: Call) -> None:
    with pytest.raises(ValueError, match="Key 'missing' not found"):
        call(cache.incr, "missing")


@pytest.mark.parametrize("value", [None, 0, "", [], "text"])
def test_a_version_moves_with_its_timeout(cache: Any, call: Call, value: Any) -> None:
    call(cache.set, "k", value, 100)

    assert call(cache.incr_version, "k") == 2
    assert call(cache.get, "k", "gone") == "gone"
    assert call(cache.get, "k", "gone", version=2) == value
    assert 80 < call(cache.ttl, "k", version=2) <= 100
    assert call(cache.decr_version, "k", version=2) == 1
    with pytest.raises(ValueError, match="not found"):
        call(cache.incr_version, "missing")


def test_many_at_once(cache: Any, call: Call) -> None:
    assert call(cache.set_many, {"a": 1, "b": None, 3: "c"}) == []
    assert call(cache.get_many, iter(["a", "b", 3, "missing"])) == {"a": 1, "b": None, 3: "c"}
    assert call(cache.delete_many, iter(["a", "b"])) is None
    assert call(cache.get_many, ["a", "b", 3]) == {3: "c"}
    assert call(cache.get_many, []) == {}
    assert call(cache.set_many, {}) == []
    assert call(cache.delete_many, []) is None


def test_keys_that_mean_the_same_are_one(cache: Any, call: Call) -> None:
    call(cache.set_many, {"1": "text", 1: "number"})

    assert call(cache.get, 1) == call(cache.get, "1") == "number"


def test_get_or_set(cache: Any, call: Call) -> None:
    assert call(cache.get_or_set, "k", lambda: 5) == 5
    assert call(cache.get_or_set, "k", 6) == 5


def test_presence(cache: Any, call: Call) -> None:
    call(cache.set, "k", None)

    assert call(cache.has_key, "k") is True
    assert call(cache.delete, "k") is True
    assert call(cache.delete, "k") is False
    assert call(cache.has_key, "k") is False
    assert "k" not in cache


def test_times(cache: Any, call: Call) -> None:
    call(cache.set, "k", 1, None)

    assert call(cache.ttl, "k") is None
    assert call(cache.expire, "k", 50) is True
    assert 30 < call(cache.ttl, "k") <= 50
    assert call(cache.pexpire, "k", 20_000) is True
    assert 10_000 < call(cache.pttl, "k") <= 20_000
    assert call(cache.persist, "k") is True
    assert call(cache.pttl, "k") is None
    assert call(cache.expire_at, "k", 4_000_000_000) is True
    assert call(cache.pexpire_at, "k", 4_000_000_000_000) is True
    assert call(cache.ttl, "k") > 10**8
    assert call(cache.ttl, "missing") == call(cache.pttl, "missing") == 0
    assert call(cache.expire, "missing", 5) is False
    assert call(cache.persist, "missing") is False


def test_structures(cache: Any, call: Call) -> None:
    assert call(cache.sadd, "set", 1, "two", (3,)) == 3
    assert call(cache.smembers, "set") == {1, "two", (3,)}
    assert call(cache.sismember, "set", "two") is True
    assert call(cache.hset, "hash", "field", {"a": 1}) == 1
    assert call(cache.hkeys, "hash") == ["field"]
    assert call(cache.zadd, "sorted", {"low": 1.0, "high": 2.0}) == 2
    assert call(cache.zrange, "sorted", 0, -1) == ["low", "high"]
    assert call(cache.zpopmax, "sorted") == ("high", 2.0)


def test_set_members_are_walked_in_pages(cache: Any, call: Call) -> None:
    cache.sadd("set", *range(500))

    async def awaited() -> list[Any]:
        return [member async for member in cache.asscan_iter("set", count=50)]

    found = async_to_sync(awaited)() if call.awaited else list(cache.sscan_iter("set", count=50))

    assert set(found) == set(range(500))


def test_a_client_may_be_passed_as_in_django_redis(cache: Any) -> None:
    raw = get_redis_connection("default")

    cache.set("k", 1, client=raw)
    cache.set_many({"m": 2}, client=raw)

    assert cache.get("k", client=raw) == 1
    assert cache.get_many(["k", "m"], client=raw) == {"k": 1, "m": 2}
    assert cache.incr("k", client=raw) == 2
    assert cache.has_key("k", client=raw)
    assert cache.delete("k", client=raw) is True
    assert cache.client.get("m") == 2


def test_threads_share_the_connections_and_lose_no_count(cache: Any) -> None:
    cache.set("k", 0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: cache.incr("k"), range(400)))

    assert cache.get("k") == 400


def test_tasks_share_a_loop(cache: Any) -> None:
    async def main() -> list[Any]:
        await cache.aset("k", 0)
        await asyncio.gather(*(cache.aincr("k") for _ in range(50)))
        return [await cache.aget("k")]

    assert async_to_sync(main)() == [50]


@pytest.mark.parametrize("how", ["acquire", "__aenter__"])
async def test_whoever_is_cancelled_while_waiting_for_a_lock_does_not_keep_it(cache: Any, how: str) -> None:
    async with cache.alock("k"):
        waiting = asyncio.create_task(getattr(cache.alock("k", sleep=0.01), how)())
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async with cache.alock("k", blocking_timeout=30, sleep=0.01) as lock:
        assert await lock.owned()


def test_a_lock_keeps_others_out(cache: Any, call: Call) -> None:
    async def awaited() -> bool:
        async with cache.alock("k", timeout=5) as lock:
            assert await lock.owned()
            assert await lock.locked()
            assert await lock.extend(5)
            assert await lock.reacquire()
            return bool(await cache.alock("k", blocking=False).acquire())

    def called() -> bool:
        with cache.lock("k", timeout=5) as lock:
            assert lock.owned()
            assert lock.locked()
            assert lock.extend(5)
            assert lock.reacquire()
            return bool(cache.lock("k", blocking=False).acquire())

    assert (async_to_sync(awaited)() if call.awaited else called()) is False
    assert cache.lock("k").locked() is False


def test_a_lock_is_waited_for(cache: Any) -> None:
    held = cache.lock("k", timeout=5, thread_local=False)
    held.acquire()
    timer = threading.Timer(0.2, held.release)
    timer.start()

    assert cache.lock("k", sleep=0.02, blocking_timeout=5).acquire() is True
    timer.join()
