"""What a lagging replica shows is stored only as old as it may be, and handed out only if it is fresh."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections, router, transaction
from django.test.utils import CaptureQueriesContext

from cachekit import cached, cached_query, invalidate
from cachekit.core.steps import Begin
from cachekit.registry import family_of
from cachekit.stores import store_for
from tests.zoo.builders import make_book
from tests.zoo.models import Author, Book

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

LAG = 3600
Asked = Callable[..., list[int]]


class ToReplica:
    """Send every read to the replica, as the project's own router would."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "other"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True


@pytest.fixture(autouse=True)
def _replica(settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "REPLICAS": {"other": {"of": "default", "lag": LAG}}}
    settings.DATABASE_ROUTERS = [ToReplica()]


@pytest.fixture
def asked() -> Asked:
    """Run something; return how many queries the primary and the replica were asked."""

    def count(function: Callable[[], Any]) -> list[int]:
        with CaptureQueriesContext(connection) as primary, CaptureQueriesContext(connections["other"]) as replica:
            function()
        return [len(primary), len(replica)]

    return count


@cached(300)
def title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


@cached(300)
async def awaited_title(pk: int) -> str:
    return (await sync_to_async(Book.objects.get)(pk=pk)).title


@cached(300)
def shelf(pk: int) -> list[str]:
    return [title(pk), Book.objects.get(pk=pk).status]


def replicated(book: Book) -> Book:
    """Have the replica show a book as it is, as if it had arrived there by replication."""
    with connections["other"].cursor() as target:
        target.cursor.execute(f"DELETE FROM zoo_book WHERE id = {book.pk}")
    for table, pk in (("zoo_author", book.author_id), ("zoo_book", book.pk)):
        with connection.cursor() as source, connections["other"].cursor() as target:
            source.execute(f"SELECT * FROM {table} WHERE id = %s", [pk])
            row, names = source.fetchone(), ", ".join(f'"{one[0]}"' for one in source.description)
            marks = ", ".join(["?" if connection.vendor == "sqlite" else "%s"] * len(row))
            target.cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING", row)
    return book


def long_ago() -> None:
    """Have this process know a read point of now from before the replica's lag."""
    store = store_for("default")
    begun = store.do(Begin(""))
    store.samples.forget()
    store.samples.note(time.monotonic() - 2 * LAG, begun.epoch, begun.read_point)


def renamed(book: Book, to: str = "new") -> None:
    Book.objects.filter(pk=book.pk).update(title=to)


@pytest.mark.parametrize("door", [title, async_to_sync(awaited_title)], ids=["called", "awaited"])
def test_what_a_replica_shows_is_stored_where_a_read_point_from_before_its_lag_is_known(
    door: Any, asked: Asked
) -> None:
    book = replicated(make_book("old"))
    long_ago()

    assert asked(lambda: door(book.pk)) == [0, 1]
    assert asked(lambda: door(book.pk)) == [0, 0]

    renamed(book)
    assert door(book.pk) == "new"


def test_without_such_a_read_point_the_primary_is_read(asked: Asked) -> None:
    book = make_book("old")

    assert asked(lambda: title(book.pk)) == [1, 0]
    assert asked(lambda: title(book.pk)) == [0, 0]


def test_what_is_known_to_have_changed_within_the_lag_is_read_from_the_primary(asked: Asked) -> None:
    book = replicated(make_book("old"))
    long_ago()
    title(book.pk)
    renamed(book)

    assert asked(lambda: title(book.pk)) == [1, 0]
    assert title(book.pk) == "new"


def test_what_turns_out_to_be_stale_is_computed_again_on_the_primary(asked: Asked) -> None:
    book = replicated(make_book("old"))
    long_ago()
    renamed(book)
    seen: list[str] = []

    assert asked(lambda: seen.append(title(book.pk))) == [1, 1]

    assert seen == ["new"]
    assert asked(lambda: title(book.pk)) == [0, 0]


def test_a_page_around_it_is_neither_stale_nor_computed_without_end(asked: Asked) -> None:
    book = replicated(make_book("old", status="draft"))
    long_ago()
    Book.objects.filter(pk=book.pk).update(title="new", status="sold")

    assert shelf(book.pk) == ["new", "sold"]

    assert asked(lambda: shelf(book.pk)) == [0, 0]


def test_a_replica_that_is_named_is_read_and_what_it_shows_too_late_is_not_kept(asked: Asked) -> None:
    book = replicated(make_book("old"))

    @cached(300, name="named")
    def named() -> str:
        return Book.objects.using("other").get(pk=book.pk).title

    assert named() == "old"
    assert asked(named)[1] > 0

    long_ago()
    assert named() == "old"
    assert asked(named) == [0, 0]

    renamed(book)
    named()
    replicated(book)
    assert named() == "new"


def test_a_transaction_that_has_written_reads_the_primary() -> None:
    book = replicated(make_book("old"))
    long_ago()
    title(book.pk)

    with transaction.atomic():
        renamed(book)
        assert title(book.pk) == "new"

    assert title(book.pk) == "new"


def test_other_reads_go_where_the_routers_say(asked: Asked) -> None:
    book = replicated(make_book("old"))

    assert asked(lambda: Book.objects.get(pk=book.pk)) == [0, 1]


def test_writes_through_a_replica_invalidate_what_depends_on_its_primary(settings: Any) -> None:
    settings.CACHEKIT = {"REPLICAS": {"other": {"of": "default", "lag": 0}}}
    book = replicated(make_book("old"))
    settings.DATABASE_ROUTERS = []
    assert title(book.pk) == "old"

    renamed(book)
    Book.objects.using("other").filter(pk=book.pk).update(stock=3)
    with CaptureQueriesContext(connection) as queries:
        title(book.pk)

    assert len(queries) == 1


def test_another_way_to_the_same_database_is_read_as_its_own(settings: Any, asked: Asked) -> None:
    settings.CACHEKIT = {"REPLICAS": {"other": {"of": "default", "lag": 0}}}
    book = replicated(make_book("old"))

    assert asked(lambda: title(book.pk)) == [0, 1]
    assert asked(lambda: title(book.pk)) == [0, 0]


def test_a_query_has_one_key_on_primary_and_replica(asked: Asked) -> None:
    book = replicated(make_book("old"))
    long_ago()
    cached_query(Book.objects.using("other").filter(pk=book.pk), 300)

    assert asked(lambda: cached_query(Book.objects.using("default").filter(pk=book.pk), 300)) == [0, 0]


def test_invalidating_a_queryset_looks_its_rows_up_on_the_primary() -> None:
    book = make_book("old")
    assert title(book.pk) == "old"
    with connection.cursor() as cursor:
        cursor.cursor.execute("UPDATE zoo_book SET title = 'new'")

    assert router.db_for_read(Book) == "other"
    invalidate(Book.objects.filter(pk=book.pk))

    assert title(book.pk) == "new"


def test_two_databases_that_are_no_replicas_stay_apart(settings: Any, asked: Asked) -> None:
    settings.CACHEKIT = {}
    settings.DATABASE_ROUTERS = []

    @cached(300, name="there")
    def there() -> int:
        return Author.objects.using("other").count()

    there()
    make_book()
    assert asked(there) == [0, 0]

    with transaction.atomic(), transaction.atomic(using="other"):
        Author.objects.using("other").create(name="Grace")
        make_book()
    assert there() == 1
    assert family_of(Book, "other") == "zoo.book@other"
