"""Doors that keep what they hand out in their process: coherent with every writer, private to every reader."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction

from cachekit import cached, cached_query, computing, invalidate
from cachekit.core.dependencies import encode
from cachekit.core.entry import NEVER, Header
from cachekit.core.mirror import Mirror
from cachekit.core.steps import Invalidate
from cachekit.near import LEAST_BYTES, Kept, Near, near_for
from cachekit.stores import store_for
from cachekit.stores.redis import RedisStore
from tests.servers import Valkey
from tests.zoo.builders import make_book
from tests.zoo.models import Book

pytestmark = pytest.mark.django_db(transaction=True)
computed: list[int] = []


@cached(600, near=True)
def title(pk: int) -> str:
    computed.append(pk)
    return Book.objects.get(pk=pk).title


@cached(600, near=True, tags=("shelf",))
def shelf() -> dict[str, list[int]]:
    return {"numbers": [1, 2]}


@cached(600)
def strict(pk: int) -> str:
    return f"<{title(pk)}>"


make_book_later = sync_to_async(make_book)


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def near() -> Near:
    found = near_for("default")
    assert found is not None
    return found


def kept() -> bool:
    """Tell whether everything in the near cache is fresh by its mirror."""
    return len(near()) > 0 and all(near().get(key) is not None for key in list(near()._entries))


def warm(read: Callable[[], Any]) -> None:
    """Read until the answer comes out of the process."""

    def done() -> bool:
        read()
        return kept()

    until(done)


def somebody() -> RedisStore:
    """Return a store as another process has one."""
    store = store_for("default")
    assert isinstance(store, RedisStore)
    return RedisStore("default", store.prefix, store.client)


def test_a_hit_asks_no_server(valkey: Valkey) -> None:
    book = make_book("old")
    warm(lambda: title(book.pk))

    def asks_nothing() -> bool:
        title(book.pk)
        valkey.say("CONFIG RESETSTAT")
        assert [title(book.pk) for _ in range(10)] == ["old"] * 10
        return "cmdstat_get:" not in valkey.say("INFO commandstats")

    until(asks_nothing)  # on a busy machine a proof may come late, and a read be strict


def test_what_another_process_invalidates_is_heard_of() -> None:
    book = make_book("old")
    warm(lambda: title(book.pk))
    computed.clear()

    somebody().do(Invalidate((f"zoo.book#{book.pk}",)))

    until(lambda: title(book.pk) == "old" and computed)


def test_who_writes_reads_what_was_written() -> None:
    book = make_book("old")
    for name in ("new", "newer", "newest"):
        warm(lambda: title(book.pk))
        book.title = name
        book.save()

        assert title(book.pk) == name


async def test_awaited_it_is_the_same_cache(valkey: Valkey) -> None:
    book = await make_book_later("old")

    @cached(600, near=True)
    async def awaited() -> str:
        return (await Book.objects.aget(pk=book.pk)).title

    deadline = time.monotonic() + 20
    while not kept():
        assert await awaited() == "old"
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    book.title = "new"
    await book.asave()

    assert await awaited() == "new"


def test_each_reader_gets_a_value_of_their_own() -> None:
    warm(shelf)
    for _ in range(3):
        found = shelf()
        assert found == {"numbers": [1, 2]}
        found["numbers"].append(3)


def test_instances_are_fresh_and_independent() -> None:
    book = make_book("old")

    def rows() -> list[Book]:
        return cached_query(Book.objects.filter(pk=book.pk), near=True)

    warm(rows)
    first, second = rows()[0], rows()[0]
    first.title = "mine"

    assert second.title == "old"
    assert first == second
    assert second._state.db == "default"


def test_a_transaction_that_has_written_or_locked_reads_what_the_store_has_checked() -> None:
    book = make_book("old")
    warm(lambda: title(book.pk))
    with transaction.atomic():
        assert computing.tracks()
        list(Book.objects.select_for_update().filter(pk=book.pk))
        assert not computing.tracks()
    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="new")
        assert not computing.tracks()
        assert title(book.pk) == "new"
    assert computing.tracks()


def test_a_strict_value_is_made_of_what_the_store_has_checked() -> None:
    book = make_book("old")
    warm(lambda: title(book.pk))
    mirror = near().mirror
    Book.objects.filter(pk=book.pk).update(title="new")
    somebody().do(Invalidate((f"zoo.book#{book.pk}",)))
    with mirror._lock:  # it hears of nothing more
        mirror._doubts.clear()
        mirror.points.clear()

        assert strict(book.pk) == "<new>"


def test_while_the_server_is_away_nothing_is_proven(own_valkey: Valkey, use_cache: Callable[..., None]) -> None:
    use_cache(own_valkey.url)
    book = make_book("old")
    warm(lambda: title(book.pk))

    own_valkey.kill()
    until(lambda: near().mirror.until < time.monotonic())
    Book.objects.filter(pk=book.pk).update(title="new")
    assert title(book.pk) == "new"

    own_valkey.start()
    assert title(book.pk) == "new"
    warm(lambda: title(book.pk))


def test_everything_is_invalidated_at_once() -> None:
    book = make_book("old")
    warm(lambda: title(book.pk))
    computed.clear()

    invalidate("*")
    title(book.pk)

    assert computed


def test_more_tags_than_an_event_holds(valkey: Valkey) -> None:
    book = make_book("old")
    warm(lambda: title(book.pk))
    computed.clear()

    somebody().do(Invalidate((*(f"tag-{n}" for n in range(300)), f"zoo.book#{book.pk}")))

    until(lambda: title(book.pk) and computed)


def test_a_lost_stream_is_begun_anew(valkey: Valkey) -> None:
    book = make_book("old")
    warm(lambda: title(book.pk))
    computed.clear()

    valkey.say("DEL {ck}:events")
    somebody().do(Invalidate((f"zoo.book#{book.pk}",)))

    until(lambda: title(book.pk) and computed)
    warm(lambda: title(book.pk))


def test_in_memory_there_is_no_near_cache() -> None:
    assert near_for("memory") is None


FORKED = """
import os, time
import django
django.setup()
from cachekit import cached, near
calls = []

@cached(600, near=True, tags=("forked",))
def value():
    calls.append(1)
    return os.getpid()

def warm():
    deadline = time.monotonic() + 20
    found = near.near_for("default")
    while not (len(found) and all(found.get(key) for key in list(found._entries))):
        assert time.monotonic() < deadline
        value()
        time.sleep(0.02)

parent = value()
warm()
child = os.fork()
if not child:
    try:
        assert value() == parent
        warm()
        from cachekit import invalidate
        invalidate("forked")
        assert value() == os.getpid()
        warm()
        os._exit(0)
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
_, status = os.waitpid(child, 0)
deadline = time.monotonic() + 20
while value() == parent:
    assert time.monotonic() < deadline
    time.sleep(0.02)
raise SystemExit(status)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_child_follows_for_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], check=False, capture_output=True, text=True, timeout=100
    )

    assert done.returncode == 0, done.stdout + done.stderr


# The cache itself


def entry(used: bool = False) -> Kept:
    made = Kept("value", str, Header(b"", 0, 0, NEVER, 0, encode(["a"])), 0, float("inf"))
    made.used = used
    return made


def test_it_is_bounded_in_number_and_what_was_used_stays() -> None:
    cache = Near(Mirror(), 3, 10**6)
    for key in "abc":
        cache.put(key, entry(used=key == "a"), 1)

    cache.put("d", entry(), 1)
    assert sorted(cache._entries) == ["a", "c", "d"]
    assert not cache._entries["a"].used
    cache.put("e", entry(), 1)
    cache.put("f", entry(), 1)
    cache.put("g", entry(), 1)
    assert "a" not in cache._entries


def test_it_is_bounded_in_bytes() -> None:
    cache = Near(Mirror(), 100, 100_000)
    for key in range(100):
        cache.put(key, entry(), 1000)

    assert 0 < cache.bytes <= 100_000
    assert cache.bytes == len(cache) * (LEAST_BYTES + 4000)
    cache.put("huge", entry(), 10**6)
    assert "huge" not in cache._entries
    cache.put(99, entry(), 10**6)
    assert 99 not in cache._entries
    cache.drop("nothing")
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


# Hot keys


@cached(600, near="hot", tags=("hot",))
def asked(n: int) -> int:
    return n


def test_only_what_is_asked_for_often_is_brought_near() -> None:
    near()
    for n in range(20):
        asked(n)

    def brought() -> bool:
        for _ in range(20):
            asked(3)
        return len(near()) > 0

    until(brought)
    assert len(near()) == 1
    with pytest.raises(ValueError, match="near is True, False or 'hot'"):
        cached(600, near="warm")(lambda: 1)
