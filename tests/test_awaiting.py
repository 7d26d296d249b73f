"""What a coroutine reads on its way is captured: in threads, in tasks, through further doors; not what outlives it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, markcoroutinefunction, sync_to_async
from django.db import connections
from django.http import HttpRequest
from django.template import engines
from django.template.response import SimpleTemplateResponse
from django.test import RequestFactory

from cachekit import cached, cached_view, engine
from cachekit.core.capture import current
from tests.making import spec_of
from tests.zoo.builders import make_book
from tests.zoo.models import Author, Book, Tag

db = pytest.mark.django_db(transaction=True)

Way = Callable[[int], Awaitable[str]]


def title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


def author(pk: int) -> str:
    return Author.objects.get(books=pk).name


def apart(read: Callable[[int], str]) -> Callable[[int], str]:
    """Return the reading for a thread that is nobody's: it closes its connections."""

    def run(pk: int) -> str:
        try:
            return read(pk)
        finally:
            connections.close_all()

    return run


@cached(300)
def kept_author(pk: int) -> str:
    return author(pk)


@cached(300)
async def awaited_author(pk: int) -> str:
    return await sync_to_async(author)(pk)


async def in_a_sensitive_thread(pk: int) -> str:
    return f"{await sync_to_async(title)(pk)} by {await sync_to_async(author)(pk)}"


async def in_any_thread(pk: int) -> str:
    read = sync_to_async(lambda: f"{title(pk)} by {author(pk)}", thread_sensitive=False)
    return await sync_to_async(apart(lambda _: async_to_sync(read)()), thread_sensitive=False)(pk)


async def by_to_thread(pk: int) -> str:
    return f"{await asyncio.to_thread(apart(title), pk)} by {await asyncio.to_thread(apart(author), pk)}"


async def gathered(pk: int) -> str:
    return " by ".join(await asyncio.gather(sync_to_async(title)(pk), sync_to_async(author)(pk)))


async def grouped(pk: int) -> str:
    async with asyncio.TaskGroup() as group:
        reads = [group.create_task(sync_to_async(read)(pk)) for read in (title, author)]
    return " by ".join(read.result() for read in reads)


async def under_a_limit(pk: int) -> str:
    async with asyncio.timeout(60):
        return f"{await sync_to_async(title)(pk)} by {await asyncio.wait_for(sync_to_async(author)(pk), 60)}"


async def by_awaited_methods(pk: int) -> str:
    book = await Book.objects.select_related("author").aget(pk=pk)
    return f"{book.title} by {book.author.name}"


async def by_iteration(pk: int) -> str:
    return "".join([f"{book.title} by {await sync_to_async(author)(pk)}" async for book in Book.objects.filter(pk=pk)])


async def by_an_inner_door(pk: int) -> str:
    return f"{await sync_to_async(title)(pk)} by {await awaited_author(pk)}"


async def by_a_called_door_in_a_thread(pk: int) -> str:
    return f"{await sync_to_async(title)(pk)} by {await sync_to_async(kept_author)(pk)}"


async def by_gathered_doors(pk: int) -> str:
    found = await asyncio.gather(sync_to_async(title)(pk), awaited_author(pk), awaited_author(pk))
    return " by ".join(found[:2])


async def by_an_awaited_door_in_a_thread(pk: int) -> str:
    return f"{await sync_to_async(title)(pk)} by {await sync_to_async(lambda: async_to_sync(awaited_author)(pk))()}"


WAYS: list[Way] = [
    in_a_sensitive_thread,
    in_any_thread,
    by_to_thread,
    gathered,
    grouped,
    under_a_limit,
    by_awaited_methods,
    by_iteration,
    by_an_inner_door,
    by_a_called_door_in_a_thread,
    by_gathered_doors,
    by_an_awaited_door_in_a_thread,
]


def door_of(way: Way, kind: str, runs: list[str]) -> Way:
    """Return a cached function that goes this way; a called one is called in a thread."""

    @cached(300, name=f"awaited-{way.__name__}")
    async def awaited(pk: int) -> str:
        runs.append(way.__name__)
        return await way(pk)

    @cached(300, name=f"called-{way.__name__}")
    def called(pk: int) -> str:
        runs.append(way.__name__)
        return async_to_sync(way)(pk)

    return awaited if kind == "awaited" else sync_to_async(called)


@db
@pytest.mark.parametrize("kind", ["awaited", "called"])
async def test_what_is_read_on_the_way_is_a_dependency(kind: str) -> None:
    runs: list[str] = []
    book = await sync_to_async(make_book)("one", author=await Author.objects.acreate(name="Ada"))
    doors = {way.__name__: door_of(way, kind, runs) for way in WAYS}

    async def read() -> tuple[set[str], list[str]]:
        """Return what all doors say, and which of them computed it."""
        runs.clear()
        found = {await door(book.pk) for door in doors.values()}
        return found, list(runs)

    assert await read() == ({"one by Ada"}, list(doors))
    await Tag.objects.acreate(name="unrelated")
    assert await read() == ({"one by Ada"}, [])
    await Author.objects.all().aupdate(name="Bob")
    assert await read() == ({"one by Bob"}, list(doors))
    await Book.objects.filter(pk=book.pk).aupdate(title="two")
    assert await read() == ({"two by Bob"}, list(doors))
    assert await read() == ({"two by Bob"}, [])


@db
async def test_what_a_task_reads_that_outlives_its_computation_is_no_part_of_it() -> None:
    book, runs, go, tasks = await sync_to_async(make_book)("one"), [], asyncio.Event(), []

    async def linger(pk: int) -> str:
        capture = current.get()
        assert capture is not None
        before = capture.tags
        await go.wait()
        found = await sync_to_async(author)(pk)
        assert (await awaited_author(pk), capture.tags, capture.closed) == (found, before, True)
        return found

    @cached(300)
    async def starting(pk: int) -> str:
        runs.append(pk)
        found = await sync_to_async(title)(pk)
        tasks.append(asyncio.create_task(linger(pk)))
        await asyncio.sleep(0)
        return found

    assert await starting(book.pk) == "one"
    go.set()
    assert await tasks[0]
    await Author.objects.all().aupdate(name="Bob")

    assert await starting(book.pk) == "one"
    assert len(runs) == 1
    assert await awaited_author(book.pk) == "Bob"


async def test_two_tasks_that_outlive_their_computation_share_what_they_compute() -> None:
    inner, outer = spec_of("memory", "inner", wait=60), spec_of("memory", "outer")
    go = asyncio.Event()
    runs: list[int] = []
    tasks: list[asyncio.Task[str]] = []

    async def part() -> str:
        runs.append(1)
        await asyncio.sleep(0.01)
        return "part"

    async def later() -> Any:
        await go.wait()
        return await engine.aget_or_set(inner, part)

    async def whole() -> str:
        tasks.extend(asyncio.create_task(later()) for _ in range(3))
        return "whole"

    assert await engine.aget_or_set(outer, whole) == "whole"
    go.set()

    assert await asyncio.gather(*tasks) == ["part"] * 3
    assert len(runs) == 1


async def test_a_thread_that_goes_on_reading_harms_nobody() -> None:
    """Whoever stores the value looks at its tags while another thread still adds to them."""
    over, context = threading.Event(), []

    def read_on() -> None:
        number = 0
        while not over.is_set():
            number += 1
            capture = current.get()
            assert capture is not None
            capture.depend(f"thing#{number}")

    @cached(300)
    async def starting() -> str:
        context.append(contextvars.copy_context())
        threads.append(threading.Thread(target=context[0].run, args=(read_on,)))
        threads[0].start()
        await asyncio.sleep(0.01)
        return "value"

    threads: list[threading.Thread] = []
    try:
        assert await starting() == "value"
    finally:
        over.set()
        await asyncio.to_thread(threads[0].join)


@db
async def test_a_lazy_queryset_that_a_coroutine_returns_is_evaluated_in_a_thread_and_kept() -> None:
    await sync_to_async(make_book)("one")
    runs = []

    @cached(300)
    async def books() -> Any:
        runs.append(1)
        return Book.objects.only("title")

    assert [[book.title for book in await books()] for _ in range(2)] == [["one"]] * 2
    await Book.objects.aupdate(title="two")
    assert [[book.title for book in await books()] for _ in range(2)] == [["two"]] * 2
    assert len(runs) == 2


@db
async def test_a_template_response_of_an_awaited_view_is_rendered_in_a_thread() -> None:
    await sync_to_async(make_book)("one")
    template: Any = engines["django"].from_string("{% for book in books %}{{ book.title }}{% endfor %}")
    request, runs = RequestFactory().get("/"), []

    @cached_view(300)
    async def shelf(request: HttpRequest) -> Any:
        runs.append(1)
        return SimpleTemplateResponse(template, {"books": Book.objects.all()})

    assert [(await shelf(request)).content for _ in range(2)] == [b"one"] * 2
    await Book.objects.aupdate(title="two")
    assert [(await shelf(request)).content for _ in range(2)] == [b"two"] * 2
    assert len(runs) == 2


async def test_a_function_that_is_marked_as_a_coroutine_function_is_awaited() -> None:
    runs = []

    async def read() -> str:
        runs.append(1)
        return "value"

    @cached(300, name="marked")
    @markcoroutinefunction
    def marked() -> Any:
        return read()

    assert [await marked(), await marked()] == ["value"] * 2
    assert len(runs) == 1
