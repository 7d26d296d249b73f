"""Redis is never a reason for a 500: what every call does while the server is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django_redis.cache import RedisCache as DjangoRedisCache
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
    LockError,
    RedisError,
    ResponseError,
    TimeoutError as RedisTimeoutError,
)

from cachekit import hooks
from cachekit.exceptions import StoreUnavailable
from cachekit.stores import store_for
from tests.servers import Valkey
from tests.twins import Call

EMPTY: dict[str, tuple[tuple[Any, ...], Any]] = {
    "get": (("k", "default"), "default"),
    "set": (("k", 1), False),
    "add": (("k", 1), False),
    "touch": (("k",), False),
    "delete": (("k",), False),
    "has_key": (("k",), False),
    "get_many": ((["k"],), {}),
    "set_many": (({"k": 1, "l": 2},), ["k", "l"]),
    "delete_many": ((["k"],), None),
    "clear": ((), False),
    "get_or_set": (("k", lambda: 5), 5),
    "ttl": (("k",), 0),
    "pttl": (("k",), 0),
    "persist": (("k",), False),
    "expire": (("k", 5), False),
    "pexpire": (("k", 5), False),
    "expire_at": (("k", 5), False),
    "pexpire_at": (("k", 5), False),
    "keys": (("*",), []),
    "delete_pattern": (("*",), 0),
    "sadd": (("k", 1), 0),
    "scard": (("k",), 0),
    "sdiff": (("k", "l"), set()),
    "sdiffstore": (("k", "l", "m"), 0),
    "sinter": (("k", "l"), set()),
    "sinterstore": (("k", "l", "m"), 0),
    "sismember": (("k", 1), False),
    "smembers": (("k",), set()),
    "smismember": (("k", 1, 2), [False, False]),
    "smove": (("k", "l", 1), False),
    "spop": (("k",), None),
    "srandmember": (("k",), None),
    "srem": (("k", 1), 0),
    "sscan": (("k",), set()),
    "sunion": (("k", "l"), set()),
    "sunionstore": (("k", "l", "m"), 0),
    "hset": (("k", "f", 1), 0),
    "hdel": (("k", "f"), 0),
    "hlen": (("k",), 0),
    "hkeys": (("k",), []),
    "hexists": (("k", "f"), False),
    "zadd": (("k", {"a": 1}), 0),
    "zcard": (("k",), 0),
    "zcount": (("k", 0, 1), 0),
    "zincrby": (("k", 1, "a"), None),
    "zpopmax": (("k",), None),
    "zpopmin": (("k",), None),
    "zrange": (("k", 0, -1), []),
    "zrangebyscore": (("k", 0, 1), []),
    "zrank": (("k", "a"), None),
    "zrem": (("k", "a"), 0),
    "zremrangebyscore": (("k", 0, 1), 0),
    "zrevrange": (("k", 0, -1), []),
    "zrevrangebyscore": (("k", 1, 0), []),
    "zscore": (("k", "a"), None),
}


@pytest.fixture
def away(nobody: str, use_cache: Callable[..., None]) -> Any:
    """The cache of alias `default` on a server that refuses connections."""
    use_cache(nobody)
    return caches["default"]


@pytest.fixture
def strict(nobody: str, use_cache: Callable[..., None]) -> Any:
    """Like `away`, with django-redis's errors."""
    use_cache(nobody, OPTIONS={"IGNORE_EXCEPTIONS": False})
    return caches["default"]


def test_every_call_of_django_redis_is_in_the_table() -> None:
    theirs = {name for name in vars(DjangoRedisCache) if not name.startswith("_")}
    treated_below = {"incr", "decr", "incr_version", "lock", "iter_keys", "sscan_iter", "close", "client"}

    assert theirs - set(EMPTY) == treated_below


@pytest.mark.parametrize("name", EMPTY)
def test_a_cache_that_is_away_is_like_an_empty_one(away: Any, call: Call, name: str) -> None:
    args, answer = EMPTY[name]

    assert call(getattr(away, name), *args) == answer


@pytest.mark.parametrize("name", EMPTY)
def test_whoever_wants_the_errors_gets_redis_pys(strict: Any, call: Call, name: str) -> None:
    args, _ = EMPTY[name]

    with pytest.raises((RedisConnectionError, RedisTimeoutError)):  # a busy machine may be slow to refuse
        call(getattr(strict, name), *args)


def test_walking_ends_at_once(away: Any) -> None:
    async def main() -> list[Any]:
        return [key async for key in away.aiter_keys("*")] + [one async for one in away.asscan_iter("s")]

    assert list(away.iter_keys("*")) == list(away.sscan_iter("s")) == async_to_sync(main)() == []


def test_counting_raises_what_django_promises_for_a_missing_key(away: Any, call: Call) -> None:
    for method in (away.incr, away.decr, away.incr_version, away.decr_version):
        with pytest.raises(ValueError, match="not found"):
            call(method, "k")
    assert call(away.incr, "k", 5, ignore_key_check=True) == 5


def test_a_lock_is_not_had(away: Any) -> None:
    assert away.lock("k", blocking=False).acquire() is False
    assert away.lock("k").locked() is False
    with pytest.raises(LockError), away.lock("k", blocking_timeout=0.1):
        pytest.fail("the block ran unprotected")


def test_a_lock_whose_server_went_is_left_to_its_timeout(own_valkey: Valkey, use_cache: Callable[..., None]) -> None:
    use_cache(own_valkey.url)
    cache: Any = caches["default"]
    lock = cache.lock("k", timeout=5)
    lock.acquire()
    own_valkey.kill()

    with pytest.raises(LockError, match="not prolonged"):
        lock.extend(5)
    assert lock.owned() is False
    lock.release()


def test_a_lock_says_so_to_whoever_wants_the_errors(strict: Any) -> None:
    with pytest.raises(RedisError):
        strict.lock("k").acquire()


def test_a_silent_server_costs_its_timeout_until_the_circuit_opens(
    own_valkey: Valkey, use_cache: Callable[..., None], settings: Any, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "BREAKER_PAUSE": 3600}  # no second try while the test runs
    settings.DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS = True
    use_cache(own_valkey.url, OPTIONS={"SOCKET_TIMEOUT": 0.1})
    cache = caches["default"]
    call(cache.set, "k", 1)
    caplog.clear()

    with own_valkey.paused():
        answers = {call(cache.get, "k") for _ in range(200)}

    errors = [record.exc_info and record.exc_info[1] for record in caplog.records]
    waited = [isinstance(error.__cause__, RedisError) for error in errors if isinstance(error, StoreUnavailable)]
    assert answers == {None}
    assert (len(waited), any(waited)) == (200, True)
    assert not any(waited[3:]), "three wait until the circuit opens, the others are refused at once"


def test_the_server_is_used_again_when_it_is_back(
    own_valkey: Valkey, use_cache: Callable[..., None], call: Call
) -> None:
    use_cache(own_valkey.url)
    cache = caches["default"]
    call(cache.set, "k", 1)
    own_valkey.kill()
    for _ in range(5):
        assert call(cache.get, "k") is None
    own_valkey.start()

    deadline = time.monotonic() + 10
    while not call(cache.set, "k", 2) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert call(cache.get, "k") == 2


def test_a_server_that_refuses_to_write_is_away(own_valkey: Valkey, use_cache: Callable[..., None], call: Call) -> None:
    use_cache(own_valkey.url)
    cache: Any = caches["default"]
    call(cache.set, "k", 1)
    store_for("default").client.config_set("maxmemory", "1")  # type: ignore[attr-defined]

    assert call(cache.set, "k", 2) is False
    assert call(cache.set_many, {"k": 2}) == ["k"]
    assert call(cache.sadd, "s", 1) == 0


def test_an_error_is_counted_and_the_open_circuit_told(away: Any, lookups: list[hooks.Lookup]) -> None:
    told: list[hooks.StoreDown] = []
    hooks.subscribe(hooks.StoreDown, told.append)

    for _ in range(4):
        away.get("user:1")
    away.get_many(["k"])

    hooks.unsubscribe(hooks.StoreDown, told.append)
    assert lookups[0] == hooks.Lookup("default", "backend", "user", "error")
    assert {lookup.result for lookup in lookups} == {"error"}
    assert [event.alias for event in told] == ["default"]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_wrong_type_is_django_rediss_error_or_nothing(cache: Any, make: Any, call: Call, wanted: bool) -> None:
    cache = make(OPTIONS={"IGNORE_EXCEPTIONS": not wanted})
    cache.sadd("s", 1)

    assert call(cache.get, "s") is None
    if wanted:
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            call(cache.hset, "s", "f", 1)
    else:
        assert call(cache.hset, "s", "f", 1) == 0


def test_django_rediss_setting_for_errors_holds(settings: Any, make: Any, nobody: str) -> None:
    settings.DJANGO_REDIS_IGNORE_EXCEPTIONS = False
    cache = make(LOCATION=nobody)

    with pytest.raises(RedisConnectionError):
        cache.get("k")


def test_ignored_errors_are_logged_on_demand(
    settings: Any, make: Any, nobody: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS = True
    cache = make(LOCATION=nobody)

    cache.get("k")

    assert "Exception ignored" in caplog.text
