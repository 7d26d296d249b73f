"""`@local`: values of pure functions, in this process, with a policy for what goes first."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.policies import LOADS, hit_ratio
from cachekit import local
from cachekit.exceptions import MissingExtra
from tests.twins import Call


@pytest.fixture
def made(call: Call) -> Callable[..., Any]:
    """Makes a kept function that notes what it was called with."""

    def make(**options: Any) -> Any:
        calls: list[Any] = []

        def compute(*args: Any, **kwargs: Any) -> Any:
            calls.append((*args, *kwargs.values()))
            return args

        async def acompute(*args: Any, **kwargs: Any) -> Any:
            return compute(*args, **kwargs)

        function: Any = local(**options)(cast("Any", acompute if call.awaited else compute))
        function.calls = calls
        return function

    return make


def test_calls_are_told_apart_by_value_and_type(made: Any, call: Call) -> None:
    function = made()

    for _ in range(2):
        for value in (1, 1.0, True, "1", None):
            call(function, value)
            call(function, x=value)
    call(function, 1, 2)
    call(function, a=1, b=2)
    call(function, b=2, a=1)

    assert len(function.calls) == 12
    assert function.cache_info() == (11, 12, 1024, 12)
    function.cache_clear()
    assert function.cache_info() == (0, 0, 1024, 0)
    call(function, 1)
    assert len(function.calls) == 13
    with pytest.raises(TypeError, match="unhashable"):
        call(function, [])


@pytest.mark.parametrize(("policy", "gone", "kept"), [("lru", 2, 1), ("fifo", 1, 2), ("lfu", 3, 1)])
def test_the_policy_says_what_goes_first(made: Any, call: Call, policy: str, gone: int, kept: int) -> None:
    function = made(maxsize=3, policy=policy)
    for value in (1, 2, 3, 1, 1, 2, 2, 3, 1):
        call(function, value)
    assert function.calls == [(1,), (2,), (3,)]

    for value in (4, kept, gone):
        call(function, value)

    assert function.calls[3:] == [(4,), (gone,)]


def test_values_end_with_their_time(made: Any, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("cachekit.localcaches.time", SimpleNamespace(monotonic=lambda: now))
    function = made(ttl=60)

    call(function, 1)
    now += 59
    call(function, 1)
    assert len(function.calls) == 1
    now += 2
    call(function, 1)
    call(function, 1)
    assert len(function.calls) == 2


def test_threads_wait_for_one_computation() -> None:
    calls: list[int] = []
    go, entered = threading.Event(), threading.Event()

    @local
    def slow(x: int) -> int:
        calls.append(x)
        entered.set()
        assert go.wait(10)
        return x * 2

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(slow, 1) for _ in range(8)]
        assert entered.wait(10)
        go.set()
        assert [one.result(10) for one in waiting] == [2] * 8

    assert calls == [1]


async def test_tasks_wait_for_one_computation_and_survive_its_end() -> None:
    calls: list[int] = []
    go = asyncio.Event()

    @local(ttl=60)
    async def slow(x: int) -> int:
        calls.append(x)
        await go.wait()
        return x * 2

    leader, *waiting = [asyncio.create_task(slow(1)) for _ in range(5)]
    while not calls:
        await asyncio.sleep(0)
    waiting[0].cancel()
    leader.cancel()
    while len(calls) < 2:
        await asyncio.sleep(0)
    go.set()

    assert await asyncio.gather(*waiting[1:]) == [2] * 3
    assert calls == [1, 1]


def test_errors_are_raised_and_not_kept(call: Call) -> None:
    calls: list[int] = []

    def compute() -> None:
        calls.append(1)
        raise ValueError("no")

    async def acompute() -> None:
        compute()

    function: Any = local(cast("Any", acompute if call.awaited else compute))

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            call(function)
    assert len(calls) == 2


def test_what_is_being_computed_while_all_is_forgotten_is_not_kept() -> None:
    @local
    def forgetful(x: int) -> int:
        forgetful.cache_clear()
        return x

    assert [forgetful(1), forgetful(1)] == [1, 1]
    assert forgetful.cache_info().currsize == 0


def test_one_that_asks_itself_does_not_wait_for_itself() -> None:
    depth = 0

    @local
    def recursive(x: int) -> int:
        nonlocal depth
        depth += 1
        return depth if depth == 3 else recursive(x)

    assert recursive(1) == 3


def test_it_looks_like_the_function_that_it_keeps() -> None:
    @local
    def documented(x: int) -> int:
        """Say so."""
        return x

    class Thing:
        @local
        def method(self, x: int) -> int:
            return x + id(self)

    thing = Thing()
    assert (documented.__doc__, documented.__wrapped__(3)) == ("Say so.", 3)
    assert cast("Any", thing).method(1) == cast("Any", thing).method(1) == 1 + id(thing)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"policy": "mru"}, "'lru', 'lfu', 'fifo'; not 'mru'"),
        ({"maxsize": 0}, "1 or more; not 0"),
        ({"maxsize": None}, "1 or more"),
        ({"ttl": 0}, "above 0"),
        ({"ttl": "60"}, "above 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        local(**options)


@pytest.mark.parametrize("said", [60, None, "lfu"])
def test_what_is_said_without_a_name_is_refused(said: Any) -> None:
    with pytest.raises(TypeError, match=r"told everything by name: write @local\(ttl="):
        local(said)


def test_generators_and_a_missing_library_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def numbers() -> Any:
        yield 1

    with pytest.raises(TypeError, match="Return a tuple"):
        local(numbers)
    monkeypatch.setitem(sys.modules, "cachebox", None)
    with pytest.raises(MissingExtra, match=r"django-cachekit\[local\]"):
        local(maxsize=1)


FORKED = """
import os
from cachekit import local

@local
def function(x):
    return x

function(1)
child = os.fork()
if not child:
    os._exit(function.cache_info().currsize + function(1) - 1)
_, status = os.waitpid(child, 0)
raise SystemExit(status or function.cache_info().currsize - 1)
"""


def test_a_fork_begins_with_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], check=False, capture_output=True, text=True, timeout=100)

    assert done.returncode == 0, done.stderr


def test_the_benchmark_tells_policies_apart() -> None:
    ratios = {
        (load, policy): hit_ratio(LOADS[load], policy, 200, lookups=12_000)
        for load in ("few keys often (Zipf)", "with scans")
        for policy in ("lru", "lfu")
    }

    assert all(ratios[load, "lfu"] > ratios[load, "lru"] for load, _ in ratios)
