"""After `clear()` no call sees an old key, in any process, and nobody else's keys are touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django_redis import get_redis_connection

from cachekit import cached
from cachekit.backends import RedisCache, generation
from tests.backends.conftest import Make
from tests.twins import Call

QUESTIONS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "get": (lambda cache: cache.get("n"), None),
    "get_many": (lambda cache: cache.get_many(["n"]), {}),
    "has_key": (lambda cache: cache.has_key("n"), False),
    "add": (lambda cache: cache.add("n", 5), True),
    "incr": (lambda cache: cache.incr("n", ignore_key_check=True), 1),
    "touch": (lambda cache: cache.touch("n"), False),
    "touch_for_ever": (lambda cache: cache.touch("n", None), False),
    "delete": (lambda cache: cache.delete("n"), False),
    "set_xx": (lambda cache: cache.set("n", 1, xx=True), False),
    "ttl": (lambda cache: cache.ttl("n"), 0),
    "pttl": (lambda cache: cache.pttl("n"), 0),
    "persist": (lambda cache: cache.persist("n"), False),
    "expire": (lambda cache: cache.expire("n", 5), False),
    "keys": (lambda cache: cache.keys("*"), []),
    "iter_keys": (lambda cache: list(cache.iter_keys("*")), []),
    "delete_pattern": (lambda cache: cache.delete_pattern("*"), 0),
    "lock": (lambda cache: cache.lock("lock", blocking=False).acquire(), True),
    "locked": (lambda cache: cache.lock("lock").locked(), False),
    "smembers": (lambda cache: cache.smembers("s"), set()),
    "sscan_iter": (lambda cache: list(cache.sscan_iter("s")), []),
    "hlen": (lambda cache: cache.hlen("h"), 0),
    "zcard": (lambda cache: cache.zcard("z"), 0),
    "client.get": (lambda cache: cache.client.get("n"), None),
    "client.keys": (lambda cache: cache.client.keys("*"), []),
}


def filled(cache: Any) -> Any:
    cache.set("n", 1)
    cache.sadd("s", 1)
    cache.hset("h", "field", 1)
    cache.zadd("z", {"a": 1})
    cache.lock("lock", timeout=60).acquire()
    return cache


@pytest.fixture
def unswept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the old keys where they are, so that only the generation hides them."""
    monkeypatch.setattr("cachekit.backends.generation.Generation.swept", lambda *_: iter(()))


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.usefixtures("unswept")
def test_no_call_sees_an_old_key_after_another_process_cleared(cache: Any, name: str) -> None:
    filled(cache)
    ask, empty = QUESTIONS[name]

    elsewhere("clear()")

    assert ask(cache) == empty


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.usefixtures("unswept")
def test_no_call_sees_an_old_key_after_clearing(cache: Any, call: Call, name: str) -> None:
    filled(cache)
    ask, empty = QUESTIONS[name]

    assert call(cache.clear) is True

    assert ask(cache) == empty


def elsewhere(expression: str) -> None:
    """Say something to alias `default` in the name of another process, which has a generation of its own in mind."""
    cache: Any = caches["default"]
    line = cache.line
    known = line.generation._known
    line.generation._known = None
    eval(f"cache.{expression}", {"cache": cache})
    line.generation._known = known


def test_really_another_process(cache: Any) -> None:
    filled(cache)
    code = "import django; django.setup(); from django.core.cache import cache; cache.clear()"

    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, env=dict(os.environ), timeout=60)

    assert cache.get("n") is None
    assert cache.keys("*") == []


def test_a_count_is_not_doubled_when_the_generation_moved(cache: Any) -> None:
    cache.set("n", 1)
    elsewhere("clear()")
    elsewhere("set('n', 10)")

    assert cache.incr("n") == 11
    assert cache.get("n") == 11


def test_what_was_written_into_an_old_generation_is_removed(cache: Any) -> None:
    cache.set("first", 1)
    elsewhere("clear()")

    cache.set("k", "v", None)
    elsewhere("clear()")
    cache.set_many({"m": 1}, None)
    elsewhere("clear()")
    cache.incr("i", ignore_key_check=True)

    names = get_redis_connection("default").keys("ck*")
    assert sorted(name.rpartition(b":")[2] for name in names) == [b"i"]


def test_old_keys_are_swept(cache: Any, call: Call) -> None:
    cache.set_many({f"k{number}": number for number in range(3000)})
    raw = get_redis_connection("default")
    assert raw.dbsize() > 3000

    call(cache.clear)

    assert not list(raw.scan_iter("*:k*"))


def test_a_sweep_spares_the_keys_of_a_generation_begun_meanwhile(cache: Any) -> None:
    cache.set("old", 1)
    line = cache.line
    plan = line.generation.swept(10)
    request = next(plan)
    elsewhere("clear()")
    elsewhere("set('new', 2)")

    line.run(resumed(plan, request))

    assert cache.get("new") == 2


def resumed(plan: Any, request: generation.Request) -> Any:
    """Carry on with a plan whose first request was taken out."""
    answer = yield request
    while True:
        try:
            request = plan.send(answer)
        except StopIteration as end:
            return end.value
        answer = yield request


def test_a_sweep_has_a_budget(cache: Any) -> None:
    cache.set_many({f"k{number}": number for number in range(5000)})
    line = cache.line
    line.run(line.generation.moved())

    removed = line.run(line.generation.swept(0))

    assert 0 < removed < 5000


def test_others_keys_stay(cache: Any, make: Make, call: Call) -> None:
    neighbour = make("neighbour", KEY_PREFIX="neighbour")
    plain = caches["plain"]
    raw = get_redis_connection("default")
    neighbour.set("k", 1)
    plain.set("k", 2)
    raw.set("celery", 3)
    cache.set("k", 4)

    call(cache.clear)

    assert cache.get("k") is None
    assert (neighbour.get("k"), plain.get("k"), raw.get("celery")) == (1, 2, b"3")


def test_a_lost_generation_revives_nothing(cache: Any, call: Call) -> None:
    call(cache.set, "k", 1)

    get_redis_connection("default").delete(cache.line.generation.key)

    assert call(cache.get, "k") is None
    call(cache.set, "k", 2)
    assert call(cache.get, "k") == 2


def test_a_broken_generation_is_replaced(cache: Any) -> None:
    get_redis_connection("default").set(cache.line.generation.key, "")

    cache.set("k", 1)

    assert cache.get("k") == 1


def test_clear_reaches_the_other_doors(cache: Any, call: Call) -> None:
    calls: list[int] = []

    @cached()
    def counted() -> int:
        calls.append(1)
        return len(calls)

    assert (counted(), counted()) == (1, 1)

    call(cache.clear)

    assert counted() == 2


def test_a_cache_made_by_hand_clears_too(valkey: Any) -> None:
    cache: Any = RedisCache(valkey.url, {"KEY_PREFIX": "by-hand"})
    cache.set("k", 1)

    assert cache.get("k") == 1
    assert cache.clear() is True
    assert cache.get("k") is None


def test_awaited_on_two_loops(cache: Any) -> None:
    for number in range(2):

        async def main(number: int = number) -> Any:
            await cache.aset("k", number)
            return await cache.aget("k")

        assert async_to_sync(main)() == number


def test_a_generation_that_somebody_else_has_broken_is_another(cache: Any, call: Call) -> None:
    call(cache.set, "k", "v")
    key, client = cache.line.generation.key, cache.client.get_client()

    client.set(key, client.get(key)[:-2] + b"\xff:")

    assert call(cache.get, "k") is None
    assert call(cache.set, "k", "w")
    assert call(cache.get, "k") == "w"
