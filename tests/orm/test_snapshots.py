"""A transaction that reads a snapshot is given nothing newer, and what it computes is as old as the snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from cachekit import cached, hooks
from cachekit.core.steps import Begin
from cachekit.stores import store_for
from tests.orm.test_transactions import elsewhere
from tests.zoo.builders import make_book
from tests.zoo.models import Author, Book

pytestmark = pytest.mark.django_db(transaction=True)


@cached(300)
def title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


@cached(300, newer_than_snapshot=True)
def newest_title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


@cached(300)
async def awaited_title(pk: int) -> str:
    return (await sync_to_async(Book.objects.get)(pk=pk)).title


@cached(300)
def authors() -> int:
    return Author.objects.count()


@contextmanager
def snapshot() -> Iterator[None]:
    """Read as a transaction does that sees what was committed before its first statement."""
    wrapper: Any = connection
    mode = getattr(wrapper, "transaction_mode", None)
    wrapper.transaction_mode = None
    try:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            Author.objects.exists()
            yield
    finally:
        wrapper.transaction_mode = mode


@contextmanager
def by_hand() -> Iterator[None]:
    """Like `snapshot`, begun past Django."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN" if connection.vendor == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ")
        try:
            Author.objects.exists()
            yield
        finally:
            cursor.execute("ROLLBACK")


def rename(pk: int) -> None:
    Book.objects.filter(pk=pk).update(title="new")


def sampled() -> None:
    """Have this process know a read point from before what follows, and after what was written."""
    store = store_for("default")
    store.samples.forget()
    store.do(Begin(""))


def results(function: Callable[[], Any]) -> list[str]:
    """Return what came of the look-ups."""
    found: list[str] = []
    listener = lambda event: found.append(event.result)  # noqa: E731
    hooks.subscribe(hooks.Lookup, listener)
    try:
        function()
    finally:
        hooks.unsubscribe(hooks.Lookup, listener)
    return found


opened = pytest.mark.parametrize("opened", [snapshot, by_hand], ids=["atomic", "by hand"])


@opened
@pytest.mark.parametrize("door", [title, async_to_sync(awaited_title)], ids=["called", "awaited"])
def test_what_a_snapshot_shows_is_stored_as_of_before_it(opened: Any, door: Any) -> None:
    book = make_book("old")
    sampled()

    with opened():
        assert door(book.pk) == "old"

    assert results(lambda: door(book.pk)) == ["hit"]


@opened
def test_what_has_changed_since_is_not(opened: Any) -> None:
    book = make_book("old")
    sampled()

    with opened():
        elsewhere(rename, book.pk)
        assert title(book.pk) == "old"

    assert title(book.pk) == "new"


@opened
def test_hits_that_are_newer_are_passed_over_and_stay(opened: Any) -> None:
    book = make_book("old")
    sampled()

    with opened():
        elsewhere(rename, book.pk)
        assert elsewhere(title, book.pk) == "new"
        assert title(book.pk) == "old"

    assert results(lambda: title(book.pk)) == ["hit"]
    assert title(book.pk) == "new"


def test_a_door_may_say_that_newer_is_welcome() -> None:
    book = make_book("old")
    sampled()

    with snapshot():
        elsewhere(rename, book.pk)
        elsewhere(newest_title, book.pk)
        assert newest_title(book.pk) == "new"


def test_a_setting_may_say_so_for_all(settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "NEWER_THAN_SNAPSHOT": True}
    book = make_book("old")
    sampled()

    with snapshot():
        elsewhere(rename, book.pk)
        elsewhere(title, book.pk)
        assert title(book.pk) == "new"


def test_what_has_not_changed_since_is_a_hit() -> None:
    book = make_book("old")
    title(book.pk)
    sampled()

    with snapshot():
        elsewhere(Author.objects.create)
        assert results(lambda: title(book.pk)) == ["hit"]


def test_where_no_earlier_read_point_is_known_nothing_is_stored_and_the_next_transaction_knows_one() -> None:
    book = make_book("old")
    store_for("default").samples.forget()

    with snapshot():
        assert results(lambda: title(book.pk)) == ["bypass"]
    with snapshot():
        assert results(lambda: title(book.pk)) == ["miss"]
    with snapshot():
        assert results(lambda: title(book.pk)) == ["hit"]


def test_a_snapshot_that_has_written_stores_nothing() -> None:
    book = make_book("old")
    sampled()

    with snapshot():
        Author.objects.create(name="Grace")
        assert title(book.pk) == "old"

    with CaptureQueriesContext(connection) as queries:
        title(book.pk)
    assert len(queries) == 1


def test_a_page_in_a_snapshot_depends_on_what_was_computed_apart() -> None:
    book = make_book("old")

    @cached(300, name="page")
    def page() -> list[Any]:
        return [authors(), title(book.pk)]

    elsewhere(authors)
    sampled()
    with snapshot():
        elsewhere(Author.objects.create)
        elsewhere(authors)
        assert page() == [1, "old"]

    assert page() == [2, "old"]
