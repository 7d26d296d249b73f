"""What a transaction writes becomes known when it commits, and to nobody when it does not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, TestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path

from cachekit import ainvalidate, cached, hooks, invalidate
from cachekit.orm import dirty_tags
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book

transactional = pytest.mark.django_db(transaction=True)


class Refuse(Exception):
    """Raised to leave a transaction."""


@cached(300)
def title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


@cached(300)
def drafts() -> list[str]:
    return sorted(Book.objects.filter(status="draft").values_list("title", flat=True))


@contextmanager
def rolled_back() -> Iterator[None]:
    """Open a transaction and give it up at the end."""
    with suppress(Refuse), transaction.atomic():
        yield
        raise Refuse


@pytest.fixture
def told() -> Iterator[list[tuple[str, ...]]]:
    """What is invalidated."""
    found: list[tuple[str, ...]] = []

    def note(event: hooks.Invalidated) -> None:
        found.append(event.tags)

    hooks.subscribe(hooks.Invalidated, note)
    yield found
    hooks.unsubscribe(hooks.Invalidated, note)


def elsewhere(function: Callable[..., Any], *args: Any) -> Any:
    """Run on another thread, with a connection of its own."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(function(*args))
        except Exception as error:
            found.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


@transactional
def test_invalidation_waits_for_the_commit(told: list[tuple[str, ...]]) -> None:
    book = make_book()
    told.clear()

    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="new")
        with transaction.atomic():
            Book.objects.filter(pk=book.pk).update(stock=2)
        assert told == []

    assert len(told) == 1
    assert f"zoo.book#{book.pk}" in told[0]
    assert not dirty_tags()


@transactional
def test_invalidation_comes_before_on_commit_handlers_and_one_that_fails_does_not_stop_it() -> None:
    book = make_book()
    title(book.pk)
    seen = []

    def fail() -> None:
        seen.append(title(book.pk))
        raise Refuse

    with suppress(Refuse), transaction.atomic():
        transaction.on_commit(fail)
        Book.objects.filter(pk=book.pk).update(title="new")

    assert seen == ["new"]
    assert title(book.pk) == "new"
    assert not dirty_tags()


@transactional
def test_a_rollback_invalidates_nothing_and_leaves_nothing(
    told: list[tuple[str, ...]], django_assert_num_queries: Any
) -> None:
    book = make_book("old")
    title(book.pk)
    told.clear()

    with rolled_back():
        Book.objects.filter(pk=book.pk).update(title="new")
        assert title(book.pk) == "new"

    assert told == []
    assert not dirty_tags()
    with django_assert_num_queries(0):
        assert title(book.pk) == "old"


@transactional
def test_a_rollback_to_a_savepoint_keeps_what_was_written_before_it(told: list[tuple[str, ...]]) -> None:
    book = make_book("old", stock=1)
    title(book.pk)
    told.clear()

    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="new")
        with rolled_back():
            Book.objects.filter(pk=book.pk).update(title="newer")
        assert title(book.pk) == "new"

    assert len(told) == 1
    assert title(book.pk) == "new"


@transactional
def test_own_writes_are_read_from_the_database_and_shown_to_nobody(django_assert_num_queries: Any) -> None:
    book, other = make_book("old"), make_book("other")
    assert [title(book.pk), title(other.pk), drafts()] == ["old", "other", ["old", "other"]]

    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="new")

        assert title(book.pk) == "new"
        assert drafts() == ["new", "other"]
        with django_assert_num_queries(0):
            assert title(other.pk) == "other"
        if connection.vendor == "postgresql":
            assert elsewhere(title, book.pk) == "old"

    assert elsewhere(title, book.pk) == "new"


@transactional
def test_what_is_computed_in_a_transaction_that_has_written_is_not_stored(django_assert_num_queries: Any) -> None:
    book = make_book("old")

    with rolled_back():
        Author.objects.create(name="somebody")
        assert title(book.pk) == "old"
        Book.objects.filter(pk=book.pk).update(title="new")
        assert title(book.pk) == "new"

    with django_assert_num_queries(1):
        assert title(book.pk) == "old"


@transactional
def test_what_a_computation_itself_wrote_and_rolled_back_is_not_stored() -> None:
    book = make_book("old")

    @cached(300)
    def dreamt() -> str:
        with rolled_back():
            Book.objects.filter(pk=book.pk).update(title="dream")
            found = Book.objects.get(pk=book.pk).title
        return str(found)

    assert dreamt() == "dream"

    with CaptureQueriesContext(connection) as queries:
        dreamt()
    assert queries.captured_queries


@transactional
def test_an_awaited_reader_inside_a_transaction_neither_sees_nor_spreads_what_is_not_committed() -> None:
    book = make_book("old")

    @cached(300)
    async def awaited(pk: int) -> str:
        return await sync_to_async(lambda: Book.objects.get(pk=pk).title)()

    assert async_to_sync(awaited)(book.pk) == "old"

    with rolled_back():
        Book.objects.filter(pk=book.pk).update(title="new")
        assert async_to_sync(awaited)(book.pk) == "new"

    assert async_to_sync(awaited)(book.pk) == "old"


@transactional
def test_a_refused_commit_leaves_nothing_dirty(told: list[tuple[str, ...]]) -> None:
    author = make_author()
    told.clear()

    with pytest.raises(IntegrityError), transaction.atomic():
        Book.objects.create(title="orphan", author=author, editor_id=10**6)

    assert told == []
    assert not dirty_tags()


def _in_a_block(write: Callable[[], None]) -> None:
    with suppress(ZeroDivisionError), transaction.atomic():
        transaction.on_commit(lambda: 1 // 0)  # others' handlers come too late to do harm
        write()


def _with_autocommit_off(write: Callable[[], None]) -> None:
    transaction.set_autocommit(False)
    try:
        Author.objects.count()
        write()
        transaction.commit()
    finally:
        transaction.set_autocommit(True)


@transactional
@pytest.mark.parametrize("way", [_in_a_block, _with_autocommit_off])
@pytest.mark.parametrize("awaited", [False, True])
def test_what_is_invalidated_by_hand_in_a_transaction_is_told_with_its_commit(
    way: Callable[[Callable[[], None]], None], awaited: bool
) -> None:
    make_book("old")

    def past_cachekit(sql: str) -> Any:
        with connection.cursor() as cursor:
            cursor.cursor.execute(sql)
            return cursor.fetchone() if sql.startswith("SELECT") else None

    shop_window = cached(600, name="window", tags=("window",))(lambda: past_cachekit("SELECT title FROM zoo_book")[0])
    assert shop_window() == "old"

    def write() -> None:
        past_cachekit("UPDATE zoo_book SET title = 'new'")
        async_to_sync(ainvalidate)("window") if awaited else invalidate("window")
        assert elsewhere(shop_window) == "old", "as it still is for others"

    way(write)

    assert shop_window() == "new"


@transactional
def test_autocommit_off_invalidates_at_commit(told: list[tuple[str, ...]]) -> None:
    book = make_book("old")
    title(book.pk)
    told.clear()
    transaction.set_autocommit(False)
    try:
        Book.objects.filter(pk=book.pk).update(title="lost")
        assert title(book.pk) == "lost"
        transaction.rollback()
        assert told == []
        assert not dirty_tags()

        Book.objects.filter(pk=book.pk).update(title="new")
        assert told == []
        transaction.commit()
        assert len(told) == 1
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)

    assert title(book.pk) == "new"


@transactional
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="PostgreSQL refuses to switch inside a transaction")
def test_autocommit_on_again_commits_on_sqlite() -> None:
    book = make_book("old")
    title(book.pk)

    transaction.set_autocommit(False)
    Book.objects.filter(pk=book.pk).update(title="new")
    transaction.set_autocommit(True)

    assert not dirty_tags()
    assert title(book.pk) == "new"


@transactional
def test_a_connection_closed_in_mid_transaction_leaves_no_state(told: list[tuple[str, ...]]) -> None:
    book = make_book("old")
    title(book.pk)
    told.clear()

    with suppress(DatabaseError), rolled_back():
        Book.objects.filter(pk=book.pk).update(title="new")
        connection.close()

    assert not dirty_tags()
    assert told == []
    assert title(book.pk) == "old"
    Book.objects.filter(pk=book.pk).update(title="newer")
    assert title(book.pk) == "newer"


@transactional
def test_a_wrapper_around_the_first_connection_is_taken_off_again() -> None:
    connection.close()
    before = list(connection.execute_wrappers)
    connection.execute_wrappers.clear()

    with connection.execute_wrapper(lambda execute, *args: execute(*args)):
        Author.objects.count()

    assert connection.execute_wrappers == before


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_databases_have_tags_and_transactions_of_their_own(told: list[tuple[str, ...]]) -> None:
    make_author("here")
    Author.objects.using("other").create(name="there")

    @cached(300)
    def names(using: str) -> list[str]:
        return sorted(Author.objects.using(using).values_list("name", flat=True))

    assert [names("default"), names("other")] == [["here"], ["there"]]
    told.clear()

    with transaction.atomic(using="other"):
        Author.objects.using("other").update(name="elsewhere")
        Author.objects.filter(name="nobody").update(email="x@y.z")
        assert told
        assert {tag.partition("#")[0] for tags in told for tag in tags} == {"zoo.author"}

    assert [names("default"), names("other")] == [["here"], ["elsewhere"]]
    Author.objects.using("other").get().delete()
    assert names("other") == []


@transactional
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="how SQLite reads")
def test_a_read_beside_an_unfinished_fetch_is_not_stored(django_assert_num_queries: Any) -> None:
    book = make_book("old")
    Author.objects.bulk_create([Author(name=f"n{n}") for n in range(50)])
    rows = Author.objects.iterator(chunk_size=2)
    next(rows)
    elsewhere(_rename, book.pk)

    title(book.pk)
    list(rows)

    assert title(book.pk) == "new"
    with django_assert_num_queries(0):
        title(book.pk)


def _rename(pk: int) -> None:
    Book.objects.filter(pk=pk).update(title="new")


@transactional
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="how SQLite locks")
def test_a_deferred_sqlite_transaction_reads_a_snapshot_that_is_not_stored() -> None:
    book = make_book("old")
    mode, connection.transaction_mode = connection.transaction_mode, None  # type: ignore[attr-defined]
    try:
        with transaction.atomic():
            assert Author.objects.count() == 1
            elsewhere(_rename, book.pk)
            assert title(book.pk) == "old"
        assert title(book.pk) == "new"
    finally:
        connection.transaction_mode = mode  # type: ignore[attr-defined]


@pytest.mark.postgres
@transactional
@pytest.mark.parametrize("statement", ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", ""])
def test_a_repeatable_read_is_not_stored(statement: str) -> None:
    book = make_book("old")
    options = connection.settings_dict["OPTIONS"]
    if not statement:
        from psycopg import IsolationLevel

        connection.close()
        connection.settings_dict["OPTIONS"] = {**options, "isolation_level": IsolationLevel.REPEATABLE_READ}
    try:
        with transaction.atomic():
            if statement:
                with connection.cursor() as cursor:
                    cursor.execute(statement)
            assert Author.objects.count() == 1
            elsewhere(_rename, book.pk)
            assert title(book.pk) == "old"
        assert title(book.pk) == "new"
        with transaction.atomic():
            assert title(book.pk) == "new"
    finally:
        connection.close()
        connection.settings_dict["OPTIONS"] = options


@transactional
def test_a_read_in_a_plain_transaction_is_stored(django_assert_num_queries: Any) -> None:
    book = make_book("old")

    with transaction.atomic():
        title(book.pk)

    with django_assert_num_queries(0):
        title(book.pk)


class Cases(TestCase):
    """What a project's own test cases see: they never commit."""

    def setUp(self) -> None:
        self.book = make_book("old")

    def test_reads_are_fresh_without_any_commit(self) -> None:
        assert title(self.book.pk) == "old"
        Book.objects.update(title="new")
        assert title(self.book.pk) == "new"

    def test_captured_callbacks_invalidate(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            pass
        with self.captureOnCommitCallbacks(execute=True):
            Book.objects.update(title="new")

        assert not dirty_tags()
        assert title(self.book.pk) == "new"
        with self.assertNumQueries(0):
            assert title(self.book.pk) == "new"

        with self.captureOnCommitCallbacks(execute=True):
            Book.objects.update(title="newer")
        assert title(self.book.pk) == "newer"


def rename(request: HttpRequest, pk: int) -> HttpResponse:
    Book.objects.filter(pk=pk).update(title=request.GET["title"])
    if "fail" in request.GET:
        raise Refuse
    return HttpResponse(title(pk))


urlpatterns = [path("<int:pk>/", rename)]


@transactional
@override_settings(ROOT_URLCONF=__name__)
def test_atomic_requests_invalidate_with_their_response(told: list[tuple[str, ...]]) -> None:
    book = make_book("old")
    title(book.pk)
    told.clear()
    client = Client(raise_request_exception=False)
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        assert client.get(f"/{book.pk}/?title=lost&fail=1").status_code == 500
        assert told == []
        assert title(book.pk) == "old"

        assert client.get(f"/{book.pk}/?title=new").content == b"new"
        assert title(book.pk) == "new"
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
