"""Races: readers paused between query and store, many at once, leaders that fail or are killed, and forks."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction

from cachekit import engine
from cachekit.core.capture import depend
from cachekit.core.policy import Spec
from cachekit.stores import store_for
from tests.making import Source, spec_of
from tests.patience import PATIENCE, until
from tests.processes import go_on, line_of, process
from tests.twins import Call
from tests.zoo.builders import make_book
from tests.zoo.models import Book

SOON = 10.0
"""Seconds: far less than the waits that these tests allow, far more than a busy machine needs."""


@contextmanager
def promptly() -> Iterator[None]:
    """Fail if the block takes as long as somebody waiting in vain."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < SOON


def in_thread(function: Callable[..., Any], *args: Any) -> None:
    """Run a function in a thread with database connections of its own, and wait for it."""
    thread = start(function, *args)
    thread.join()


def start(function: Callable[..., Any], *args: Any) -> threading.Thread:
    def run() -> None:
        try:
            function(*args)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def rename(pk: int, title: str) -> None:
    book = Book.objects.get(pk=pk)
    book.title = title
    book.save()


# The race of the issue: a reader is paused between its query and its store, a writer commits, the next read is fresh


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("inside", ["autocommit", "transaction"])
def test_a_reader_paused_between_query_and_store_stores_nothing_stale(alias: str, call: Call, inside: str) -> None:
    pk = make_book("old").pk
    spec = spec_of(alias)

    def produce() -> str:
        if inside == "autocommit":
            title = Book.objects.get(pk=pk).title
            in_thread(rename, pk, "new")
            return title
        with transaction.atomic():
            title = Book.objects.get(pk=pk).title
            writer = start(rename, pk, "new")
        writer.join()
        return title

    first = call(engine.resolve, spec, call.producer(produce))
    again = call(engine.get_or_set, spec, call.producer(lambda: Book.objects.get(pk=pk).title))

    assert (first.value, first.born_stale) == ("old", True)
    assert again == "new"


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_a_reader_in_a_transaction_of_its_own_stores_nothing_stale(alias: str, call: Call) -> None:
    pk = make_book("old").pk
    spec = spec_of(alias)

    def produce() -> str:
        title = Book.objects.get(pk=pk).title
        in_thread(rename, pk, "new")
        return title

    with transaction.atomic():
        assert call(engine.get_or_set, spec, call.producer(produce)) == "old"

    assert call(engine.get_or_set, spec, call.producer(lambda: Book.objects.get(pk=pk).title)) == "new"


@contextmanager
def transaction_mode(mode: str) -> Iterator[None]:
    """Begin SQLite's transactions in another mode."""
    wrapper: Any = connections["default"]
    former, wrapper.transaction_mode = wrapper.transaction_mode, mode
    try:
        yield
    finally:
        wrapper.transaction_mode = former


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="PostgreSQL reads snapshots only where it is told to")
def test_what_a_snapshot_reads_is_not_stored(alias: str, call: Call) -> None:
    pk = make_book("old").pk
    spec = spec_of(alias)

    def produce() -> str:
        return Book.objects.get(pk=pk).title

    with transaction_mode("DEFERRED"), transaction.atomic():
        produce()  # the snapshot is taken
        in_thread(rename, pk, "new")
        assert call(engine.get_or_set, spec, call.producer(produce)) == "old"

    assert call(engine.get_or_set, spec, call.producer(produce)) == "new"


READER = """
import django; django.setup()
from cachekit import engine
from tests.making import spec_of
from tests.zoo.models import Book

def produce():
    title = Book.objects.get().title
    print("read", flush=True)
    input()
    return title

print(engine.get_or_set(spec_of("default"), produce), flush=True)
"""


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_a_paused_process_stores_nothing_stale() -> None:
    pk = make_book("old").pk
    with process(READER) as reader:
        assert line_of(reader) == "read"
        rename(pk, "new")
        go_on(reader)
        assert line_of(reader) == "old"
        reader.wait()

    found = store_for("default").load(spec_of("default").key)

    assert found.header is not None
    assert found.newest > found.header.read_point
    assert engine.get_or_set(spec_of("default"), lambda: Book.objects.get().title) == "new"


@pytest.mark.django_db(transaction=True)
def test_a_tag_invalidated_inside_a_transaction_is_invalidated_when_it_has_committed(alias: str) -> None:
    make_book("old")
    spec, seen = spec_of(alias, tags=("titles",)), []

    def produce() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT title FROM zoo_book")
            return str(cursor.fetchone()[0])

    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE zoo_book SET title = 'new'")
        engine.invalidate("titles")
        in_thread(lambda: seen.append(engine.get_or_set(spec, produce)))

    assert seen == ["old"], "before the commit the old value is the value"
    assert engine.get_or_set(spec, produce) == "new"


# The arrival rule: who comes after a write never gets what was begun before it


class Pause:
    """A computation that says when it has begun and goes on when told."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self) -> Any:
        """Compute."""
        depend("homepage")
        self.begun.set()
        assert self.go.wait(60)
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


@pytest.mark.parametrize("first", ["old", KeyError("old")], ids=["a value", "an error"])
def test_a_waiter_that_came_after_a_write_does_not_get_what_was_begun_before(
    alias: str, call: Call, first: Any
) -> None:
    spec, leader, later = spec_of(alias), Pause(first), Source("new", tags=("homepage",))
    with ThreadPoolExecutor(2) as pool:
        leading = pool.submit(engine.get_or_set, spec, leader)
        assert leader.begun.wait(PATIENCE)
        engine.invalidate("homepage")
        waiting = pool.submit(call, engine.get_or_set, spec, call.producer(later))
        until(lambda: bool(waiters_of(spec)))

        leader.go.set()

        assert waiting.result(PATIENCE) == "new"
        if isinstance(first, Exception):
            with pytest.raises(KeyError):
                leading.result(PATIENCE)
        else:
            assert leading.result(PATIENCE) == "old"
    assert engine.get_or_set(spec, Source("newest", tags=("homepage",))) == "new"


def waiters_of(spec: Spec) -> bool:
    """Tell whether somebody waits for the flight of a key."""
    flight = engine.flights._flights.get((spec.alias, spec.key))
    return flight is not None and (bool(flight.future._done_callbacks) or bool(flight.future._condition._waiters))  # type: ignore[attr-defined]


# One computation for all


def test_fifty_threads_compute_once(alias: str) -> None:
    spec = spec_of(alias)
    source = Source("value", before=lambda: time.sleep(0.2))
    gate = threading.Barrier(50)

    def read(_: int) -> Any:
        gate.wait()
        return engine.get_or_set(spec, source)

    with ThreadPoolExecutor(50) as pool:
        values = list(pool.map(read, range(50)))

    assert values == ["value"] * 50
    assert source.runs == 1


async def test_fifty_tasks_compute_once(alias: str) -> None:
    spec, runs = spec_of(alias), []

    async def produce() -> str:
        runs.append(1)
        await asyncio.sleep(0.1)
        return "value"

    values = await asyncio.gather(*(engine.aget_or_set(spec, produce) for _ in range(50)))

    assert values == ["value"] * 50
    assert len(runs) == 1


CROWD = """
import sys, threading, time
import django; django.setup()
from concurrent.futures import ThreadPoolExecutor
from cachekit import engine
from cachekit.stores import store_for
from tests.making import spec_of
client, spec = store_for("default").client, spec_of("default", wait=20)

def produce():
    client.incr("computed")
    time.sleep(.5)
    return "value"

print("ready", flush=True)
input()
with ThreadPoolExecutor(4) as pool:
    values = list(pool.map(lambda _: engine.get_or_set(spec, produce), range(4)))
print(*values, flush=True)
"""


@pytest.mark.processes
def test_three_processes_of_four_threads_compute_once() -> None:
    with process(CROWD) as one, process(CROWD) as two, process(CROWD) as three:
        crowd = [one, two, three]
        for child in crowd:
            assert line_of(child) == "ready"
        for child in crowd:
            go_on(child)

        assert [line_of(child) for child in crowd] == ["value value value value"] * 3

    client: Any = store_for("default").client  # type: ignore[attr-defined]
    assert int(client.get("computed")) == 1


# Leaders that fail


def test_waiters_do_not_share_an_error_of_before_but_compute_again_once(alias: str) -> None:
    spec, leader, others = spec_of(alias), Pause(KeyError("no")), Source("yes", before=lambda: time.sleep(0.1))
    with ThreadPoolExecutor(11) as pool:
        leading = pool.submit(engine.get_or_set, spec, leader)
        assert leader.begun.wait(PATIENCE)
        waiting = [pool.submit(engine.get_or_set, spec, others) for _ in range(10)]
        time.sleep(0.1)

        leader.go.set()

        with pytest.raises(KeyError):
            leading.result(PATIENCE)
        assert [one.result(PATIENCE) for one in waiting] == ["yes"] * 10
    assert others.runs == 1


async def test_a_cancelled_leader_leaves_its_place_to_one_of_the_others(alias: str) -> None:
    spec, runs, go = spec_of(alias, wait=20), [], asyncio.Event()

    async def produce() -> str:
        runs.append(1)
        await go.wait()
        return "value"

    leader = asyncio.create_task(engine.aget_or_set(spec, produce))
    while not runs:
        await asyncio.sleep(0.01)
    others = [asyncio.create_task(engine.aget_or_set(spec, produce)) for _ in range(10)]
    await asyncio.sleep(0.05)

    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    go.set()

    with promptly():
        assert await asyncio.gather(*others) == ["value"] * 10
    assert len(runs) == 2


async def test_a_cancelled_waiter_takes_nothing_from_the_others(alias: str) -> None:
    spec, go = spec_of(alias, wait=20), asyncio.Event()

    async def produce() -> str:
        await go.wait()
        return "value"

    tasks = [asyncio.create_task(engine.aget_or_set(spec, produce)) for _ in range(3)]
    await asyncio.sleep(0.05)
    tasks[1].cancel()
    await asyncio.sleep(0.01)
    go.set()

    with promptly():
        assert [await tasks[0], await tasks[2]] == ["value"] * 2


DYING = """
import time
import django; django.setup()
from cachekit import engine
from tests.making import spec_of

def produce():
    print("leading", flush=True)
    time.sleep(600)

engine.get_or_set(spec_of("default"), produce)
"""


@pytest.mark.processes
def test_the_lease_of_a_killed_leader_ends(call: Call) -> None:
    spec = spec_of("default", wait=30)
    with process(DYING) as leader:
        assert line_of(leader) == "leading"
        time.sleep(0.7)  # the lease has been renewed by now
        leader.kill()

        with promptly():
            assert call(engine.get_or_set, spec, call.producer(Source("value"))) == "value"


def test_a_lease_is_renewed_while_its_computation_runs() -> None:
    client: Any = store_for("default").client  # type: ignore[attr-defined]

    def outlives(name: str) -> bool:
        spec, leader = spec_of("default", name, wait=20), Pause("value")
        with ThreadPoolExecutor(1) as pool:
            leading = pool.submit(engine.get_or_set, spec, leader)
            assert leader.begun.wait(PATIENCE)
            lease = f"{{ck}}:lease:{spec.key}"
            time.sleep(1.5)  # longer than the shortest lease
            renewed = bool(client.exists(lease))
            leader.go.set()
            assert leading.result(PATIENCE) == "value"
        assert not client.exists(lease)
        return renewed

    assert any(map(outlives, "abcde")), "one alone may be lost to a machine that stands still for a second"


# Nobody waits for himself


def test_two_who_need_each_others_keys_both_end(alias: str) -> None:
    specs = [spec_of(alias, name, wait=20) for name in ("one", "two")]
    gate = threading.Barrier(2)

    def read(mine: int) -> Any:
        def produce() -> str:
            gate.wait(PATIENCE)
            return f"with {engine.get_or_set(specs[1 - mine], Source('its'))}"

        return engine.get_or_set(specs[mine], produce)

    with promptly(), ThreadPoolExecutor(2) as pool:
        values = list(pool.map(read, range(2)))

    assert all(value.startswith("with ") for value in values)


def test_a_computation_that_needs_its_own_key_ends(alias: str, call: Call) -> None:
    spec = spec_of(alias, wait=20)

    with promptly():
        value = call(
            engine.get_or_set,
            spec,
            call.producer(lambda: "outer " + engine.get_or_set(spec, Source("inner"))),
        )

    assert value == "outer inner"


async def test_a_call_inside_an_event_loop_does_not_wait_for_a_task_of_that_loop(alias: str) -> None:
    spec, begun, go = spec_of(alias, wait=20), asyncio.Event(), asyncio.Event()

    async def produce() -> str:
        begun.set()
        await go.wait()
        return "theirs"

    leader = asyncio.create_task(engine.aget_or_set(spec, produce))
    await begun.wait()

    with promptly():
        assert engine.get_or_set(spec, Source("own")) == "own"
    go.set()

    assert await leader == "theirs"


async def test_nor_for_a_thread_that_waits_for_a_task_of_that_loop(alias: str) -> None:
    led, between = spec_of(alias, "led", wait=20), spec_of(alias, "between", wait=20)
    begun, go = asyncio.Event(), asyncio.Event()

    async def produce() -> str:
        begun.set()
        await go.wait()
        return "theirs"

    leader = asyncio.create_task(engine.aget_or_set(led, produce))
    await begun.wait()
    thread = start(lambda: engine.get_or_set(between, lambda: engine.get_or_set(led, Source("never"))))
    until(lambda: waiters_of(led))

    with promptly():
        assert engine.get_or_set(between, Source("own")) == "own"
    go.set()
    await leader
    await asyncio.to_thread(thread.join)


async def test_a_thread_that_a_loop_has_lent_does_not_wait_for_a_task_that_needs_this_thread(alias: str) -> None:
    spec, go, begun, loop = spec_of(alias, wait=20), asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    async def produce() -> str:
        begun.set()
        return await sync_to_async(lambda: "theirs")()

    async def lead() -> Any:
        await go.wait()
        return await engine.aget_or_set(spec, produce)

    def read() -> Any:
        loop.call_soon_threadsafe(go.set)
        assert begun.wait(10)
        return engine.get_or_set(spec, Source("own"))

    leader = asyncio.create_task(lead())
    with promptly():
        assert [await sync_to_async(read)(), await leader] == ["own", "theirs"]


async def test_parts_gathered_inside_a_computation_end(alias: str) -> None:
    inner, outer = spec_of(alias, "inner", wait=20), spec_of(alias, "outer", wait=20)

    async def part() -> str:
        await asyncio.sleep(0.05)
        return "part"

    async def whole() -> list[str]:
        return list(await asyncio.gather(*(engine.aget_or_set(inner, part) for _ in range(5))))

    with promptly():
        assert await engine.aget_or_set(outer, whole) == ["part"] * 5


def test_waiting_has_a_bound(alias: str, call: Call) -> None:
    spec, leader = spec_of(alias, wait=0.2), Pause("late")
    with ThreadPoolExecutor(2) as pool:
        leading = pool.submit(engine.get_or_set, spec, leader)
        assert leader.begun.wait(PATIENCE)

        with promptly():
            assert call(engine.get_or_set, spec, call.producer(Source("own"))) == "own"
        leader.go.set()

        assert leading.result(PATIENCE) == "late"


# Event loops come and go, processes fork


def test_event_loops_may_come_and_go(alias: str) -> None:
    spec, source = spec_of(alias), Source("value")

    async def read() -> list[Any]:
        async def produce() -> Any:
            return source()

        return [await engine.aget_or_set(spec, produce) for _ in range(2)]

    assert [asyncio.run(read()), asyncio.run(read())] == [["value"] * 2] * 2
    assert source.runs == 1
    gc.collect()  # warnings of unclosed sockets are errors


def test_a_flight_may_land_after_the_loop_of_its_waiter_has_ended(alias: str, caplog: pytest.LogCaptureFixture) -> None:
    spec, leader = spec_of(alias, wait=0.1), Pause("late")

    async def own() -> str:
        return "own"

    with ThreadPoolExecutor(1) as pool, caplog.at_level(logging.ERROR):
        leading = pool.submit(engine.get_or_set, spec, leader)
        assert leader.begun.wait(PATIENCE)
        assert asyncio.run(engine.aget_or_set(spec, own)) == "own"
        leader.go.set()
        assert leading.result(PATIENCE) == "late"

    assert caplog.records == []


def test_a_loop_that_ends_under_a_computation_leaves_no_flight(alias: str) -> None:
    spec = spec_of(alias, wait=20)

    async def forever() -> None:
        await asyncio.sleep(600)

    async def leave() -> None:
        task = asyncio.create_task(engine.aget_or_set(spec, forever))
        await asyncio.sleep(0.05)
        del task

    asyncio.run(leave())

    with promptly():
        assert engine.get_or_set(spec, Source("value")) == "value"


FORK = """
import os, sys
import django; django.setup()
from cachekit import engine
from cachekit.stores import store_for
from cachekit.stores.wire import pack
from tests.making import spec_of, Source

store, spec = store_for("default"), spec_of("default")
other = spec_of("memory", "other", wait=20)  # no lease there: the child would wait for its parent's
engine.get_or_set(spec, Source("value"))

def report(who):
    (number,) = store.wire.exchange(pack("CLIENT", "ID"), 1)
    values = [engine.get_or_set(spec, Source("never")), engine.get_or_set(other, Source("child's"))]
    print(who, number, *values, flush=True)

def produce():
    if not os.fork():
        report("child")
        os._exit(0)
    os.wait()
    return "parent's"

engine.get_or_set(other, produce)
report("parent")
"""


@pytest.mark.processes
def test_a_fork_has_connections_and_flights_of_its_own() -> None:
    with process(FORK) as parent:
        child_line = line_of(parent).split(" ", 2)
        with promptly():
            parent_line = line_of(parent).split(" ", 2)
            assert parent.wait() == 0

    assert (child_line[0], child_line[2]) == ("child", "value child's")
    assert (parent_line[0], parent_line[2]) == ("parent", "value parent's")
    assert child_line[1] != parent_line[1]
