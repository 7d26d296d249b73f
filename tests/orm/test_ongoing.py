"""What a transaction has written is known to whoever runs in it: threads, tasks, and those who await."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction

from cachekit import ainvalidate, cached, hooks
from cachekit.orm import dirty_tags, ongoing
from tests.orm.test_transactions import elsewhere, rolled_back
from tests.zoo.builders import make_book
from tests.zoo.models import Book

pytestmark = pytest.mark.django_db(transaction=True)


@cached(300)
async def title(pk: int) -> str:
    return (await sync_to_async(Book.objects.get)(pk=pk)).title


@cached(300, tags=("prices",))
def prices() -> float:
    return PRICES[0]


PRICES = [1.0]


async def rename(pk: int, to: str) -> None:
    await Book.objects.filter(pk=pk).aupdate(title=to)


def test_an_awaited_reader_sees_what_a_task_of_its_transaction_has_written() -> None:
    book = make_book("old")
    assert async_to_sync(title)(book.pk) == "old"

    async def work() -> str:
        await asyncio.gather(rename(book.pk, "new"))
        return await title(book.pk)

    with rolled_back():
        assert async_to_sync(work)() == "new"
        assert dirty_tags()

    assert async_to_sync(title)(book.pk) == "old"


def test_tasks_see_what_was_written_after_they_were_made() -> None:
    book = make_book("old")
    assert async_to_sync(title)(book.pk) == "old"

    async def work() -> str:
        written = asyncio.Event()

        async def read() -> str:
            await written.wait()
            return await title(book.pk)

        reading = asyncio.create_task(read())
        await rename(book.pk, "new")
        written.set()
        return await reading

    with rolled_back():
        assert async_to_sync(work)() == "new"


def test_a_transaction_that_is_entered_and_left_from_outside_its_thread_is_known() -> None:
    book = make_book("old")

    async def work() -> list[str]:
        block = transaction.atomic()
        seen = [await title(book.pk)]
        await sync_to_async(block.__enter__)()
        await rename(book.pk, "new")
        seen.append(await title(book.pk))
        await sync_to_async(transaction.set_rollback)(True)
        await sync_to_async(block.__exit__)(None, None, None)
        return [*seen, await title(book.pk)]

    assert async_to_sync(work)() == ["old", "new", "old"]


def test_nothing_is_left_of_a_transaction_that_is_over() -> None:
    book = make_book("old")

    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="new")
        assert [one.connection for one in ongoing.here()] == [connections["default"]]

    assert not ongoing.here()
    assert ongoing.of(connections["default"]) is None


def test_ainvalidate_is_repeated_after_the_commit_of_the_transaction_it_is_awaited_in() -> None:
    told: list[tuple[str, ...]] = []
    listener = lambda event: told.append(event.tags)  # noqa: E731
    PRICES[0] = 1.0
    prices()

    with transaction.atomic():
        assert async_to_sync(ainvalidate)("prices")
        elsewhere(prices)
        PRICES[0] = 2.0
        hooks.subscribe(hooks.Invalidated, listener)
    hooks.unsubscribe(hooks.Invalidated, listener)

    assert ("prices",) in told
    assert prices() == 2.0
