"""What a request has read once it is not asked for again, unless the request itself has written it."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from cachekit import MISSING, ainvalidate, cached, invalidate, memo, memos, uncached
from cachekit.engine import refreshing
from cachekit.middleware import RequestMemo
from cachekit.stores.wire import Wire
from cachekit.testing import assert_cached
from tests.twins import Call
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book

transactional = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What this thread sends to servers and waits for."""
    exchange, found, me = Wire.exchange, [], threading.get_ident()

    def noted(self: Wire, payload: bytes, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == me:
            found.append(payload)
        return exchange(self, payload, *args, **kwargs)

    monkeypatch.setattr(Wire, "exchange", noted)
    return found


@pytest.fixture
def count(call: Call, alias: str) -> Any:
    """A cached function that counts how often it is computed, with the tag `shelf`."""
    numbers = itertools.count(1)
    return cached(300, name="count", alias=alias, tags=("shelf",))(call.producer(lambda: next(numbers)))


def elsewhere(function: Callable[..., Any], *args: Any) -> None:
    """Run as another request does: on a thread with a context of its own."""
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()


def test_the_second_time_costs_no_round_trip(trips: list[bytes]) -> None:
    function: Any = cached(300, name="twice")(lambda x: x * 2)
    function(1)
    function(1)

    with memo(), assert_cached():
        assert function(1) == function(1) == function.peek(1) == 2
        before = len(trips)
        assert [function(1), *function.get_many([1, 1])] == [2, 2, 2]
        assert len(trips) == before
    function(1)
    assert len(trips) == before + 1


def test_what_others_write_is_seen_by_the_next_request(count: Any, call: Call) -> None:
    with memo():
        assert call(count) == 1
        elsewhere(invalidate, "shelf")
        assert call(count) == 1
    assert call(count) == 2


def test_what_the_request_itself_invalidates_is_read_anew(count: Any, call: Call) -> None:
    with memo():
        assert call(count) == 1
        call(invalidate, "shelf")
        assert call(count) == call(count) == 2
        call(count.ainvalidate if call.awaited else count.invalidate)
        assert call(count) == 3
        assert call(count.refresh) == 4
        assert call(count) == 4


def test_many_that_are_refreshed_are_forgotten_and_read_anew(call: Call, alias: str) -> None:
    numbers = itertools.count(1)
    function: Any = cached(300, name="many", alias=alias)(call.producer(lambda x: next(numbers)))
    function.batch(call.producer(lambda items: [next(numbers) for _ in items]))

    with memo():
        assert call(function.get_many, [1, 2]) == call(function.get_many, [1, 2]) == [1, 2]
        with refreshing():
            assert call(function.get_many, [1, 2]) == [3, 4]
        assert [call(function, 1), call(function, 2)] == [3, 4]


def test_what_is_invalidated_while_it_is_read_is_not_remembered(call: Call, alias: str) -> None:
    numbers = itertools.count(1)

    def compute() -> int:
        number = next(numbers)
        if number == 1:
            invalidate("shelf")
        return number

    function = cached(300, name="interrupted", alias=alias, tags=("shelf",))(call.producer(compute))

    with memo():
        assert [call(function), call(function), call(function)] == [1, 2, 2]


@transactional
def test_own_writes_are_seen_in_and_after_their_transaction(trips: list[bytes]) -> None:
    book, other = make_book("old"), make_book("other")

    @cached(300, name="title_of")
    def title(pk: int) -> str:
        return Book.objects.get(pk=pk).title

    with memo():
        assert [title(book.pk), title(other.pk)] == ["old", "other"]
        with transaction.atomic():
            Book.objects.filter(pk=book.pk).update(title="never")
            assert title(book.pk) == "never"
            transaction.set_rollback(True)
        assert title(book.pk) == "old"
        with transaction.atomic():
            Book.objects.filter(pk=book.pk).update(title="new")
            assert title(book.pk) == "new"
        assert title(book.pk) == "new"
        book.title = "newer"
        book.save()
        assert title(book.pk) == "newer"
        before = len(trips)
        assert title(other.pk) == "other"
        assert len(trips) == before
        with transaction.atomic():
            list(Book.objects.select_for_update())
            assert title(other.pk) == "other"
            assert len(trips) > before


@transactional
async def test_tasks_of_a_request_share_its_memo_and_what_they_write() -> None:
    author = await sync_to_async(make_author)("old")

    @cached(300, name="name_of")
    async def name(pk: int) -> Any:
        return (await Author.objects.aget(pk=pk)).name

    with memo():
        assert list(await asyncio.gather(name(author.pk), name(author.pk))) == ["old", "old"]
        author.name = "new"
        await asyncio.create_task(author.asave())
        assert list(await asyncio.gather(name(author.pk), name(author.pk))) == ["new", "new"]
        await asyncio.create_task(ainvalidate(name.tag))
        assert await name.peek(author.pk) is MISSING


def test_each_reader_gets_a_value_of_their_own(call: Call, alias: str) -> None:
    shared = [{"a": 1}]
    function = cached(300, name="lists", alias=alias)(call.producer(lambda: shared))

    with memo():
        first = call(function)
        shared.append({"b": 2})
        call(function)[0]["a"] = 3
        assert call(function) == [{"a": 1}]
    assert first is shared


def test_a_computation_is_given_nothing_from_before_it_began(alias: str) -> None:
    numbers = itertools.count(1)
    inner = cached(300, name="inner", alias=alias, tags=("shelf",))(lambda: next(numbers))
    outer = cached(300, name="outer", alias=alias)(lambda: [inner(), inner()])

    with memo():
        assert inner() == 1
        elsewhere(invalidate, "shelf")
        assert [inner(), outer(), inner()] == [1, [2, 2], 2]
    assert outer.peek() == [2, 2]
    invalidate("shelf")
    assert outer.peek() is MISSING


def test_blocks_inside_begin_anew_and_tell_those_around(count: Any, call: Call) -> None:
    with memo():
        assert call(count) == 1
        elsewhere(invalidate, "shelf")
        with memo():
            assert call(count) == 2
            invalidate("shelf")
        assert call(count) == 3


def test_what_outlives_the_request_remembers_nothing(count: Any, call: Call) -> None:
    with memo():
        call(count)
        context = copy_context()
    elsewhere(invalidate, "shelf")

    assert context.run(call, count) == 2
    elsewhere(invalidate, "shelf")
    assert context.run(call, count) == 3


def test_only_so_much_is_remembered(monkeypatch: pytest.MonkeyPatch, trips: list[bytes]) -> None:
    monkeypatch.setattr(memos, "MOST", 2)
    monkeypatch.setattr(memos, "MOST_WRITTEN", 2)
    function = cached(300, name="bounded")(lambda x: x)

    with memo():
        for number in range(5):
            function(number)
        mine = memos.scope.get()
        assert mine is not None
        assert len(mine) == 2
        before = len(trips)
        function(4)
        assert len(trips) == before
        for number in range(4):
            mine.forget([f"tag{number}"])  # more than it can remember
        function(4)
        assert len(trips) == before + 1


def test_doors_may_stay_out_of_it(call: Call, settings: Any) -> None:
    numbers = itertools.count(1)
    balance = cached(300, name="balance", memo=False, tags=("shelf",))(call.producer(lambda: next(numbers)))
    other = cached(300, name="other", tags=("shelf",))(call.producer(lambda: next(numbers)))

    with memo():
        assert [call(balance), call(other)] == [1, 2]
        elsewhere(invalidate, "shelf")
        assert [call(balance), call(other)] == [3, 2]
        settings.CACHEKIT = {"MEMO": False}
        assert call(other) == 4
        with uncached():
            assert call(other) == 5


def test_a_timeout_ends_in_a_request_too(call: Call) -> None:
    numbers = itertools.count(1)
    function = cached(0.02, name="short", jitter=0)(call.producer(lambda: next(numbers)))

    with memo():
        first = call(function)
        time.sleep(0.05)
        assert call(function) > first


def test_the_middleware_gives_each_request_one(call: Call, count: Any) -> None:
    def respond(request: HttpRequest) -> HttpResponse:
        first = call(count)
        elsewhere(invalidate, "shelf")
        return HttpResponse(f"{first} {call(count)}")

    if call.awaited:

        async def arespond(request: HttpRequest) -> HttpResponse:
            first = await count()
            elsewhere(invalidate, "shelf")
            return HttpResponse(f"{first} {await count()}")

        middleware: Any = RequestMemo(arespond)
        found = [async_to_sync(middleware)(HttpRequest()).content for _ in range(2)]
    else:
        middleware = RequestMemo(respond)
        found = [middleware(HttpRequest()).content for _ in range(2)]

    assert found == [b"1 1", b"2 2"]


def test_brackets_that_are_missing_are_asked_for() -> None:
    with pytest.raises(TypeError, match=r"write @memo\(\)"):
        memo(list)


def test_a_task_may_be_decorated(count: Any, call: Call) -> None:
    def task() -> Iterator[int]:
        yield call(count)
        elsewhere(invalidate, "shelf")
        yield call(count)

    decorated = memo()(lambda: list(task()))

    assert [decorated(), decorated()] == [[1, 1], [2, 2]]
    assert memos.scope.get() is None
