from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, models, transaction
from django.utils import timezone

from cachekit import cached, writebehind
from cachekit.additions import Outcome
from cachekit.exceptions import InvalidKey
from cachekit.models import AppliedBatch
from cachekit.stores.backlog import Backlog, Batch
from cachekit.writebehind import WriteBehindCounter
from tests.servers import Valkey
from tests.twins import Call
from tests.zoo.models import Author, Book, Search, Visits

Make = Callable[..., WriteBehindCounter]


@pytest.fixture(autouse=True)
def _only_own_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writebehind, "_counters", {})


@pytest.fixture
def book(db: None) -> Book:
    return Book.objects.create(title="A", author=Author.objects.create(name="B"))


@pytest.fixture
def books(book: Book) -> list[Book]:
    return [book, *(Book.objects.create(title=str(n), author=book.author) for n in range(9))]


def views(*books: Book) -> list[int]:
    known = dict(Book.objects.values_list("pk", "views"))
    return [known[book.pk] for book in books]


def test_counts_wait_in_the_server_and_reach_the_database_at_the_flush(call: Call, book: Book) -> None:
    counter = WriteBehindCounter(Book, "views")
    call(counter.add, book.pk)
    call(counter.add, book.pk, 4)

    assert views(book) == [0]
    assert (counter.pending(book.pk), counter.waiting()) == (5, 1)

    assert counter.flush() == Outcome(rows=1)
    assert views(book) == [5]
    assert (counter.pending(book.pk), counter.waiting()) == (0, 0)
    assert counter.flush() == Outcome()


def test_a_cache_in_memory_writes_at_once(call: Call, book: Book) -> None:
    counter = WriteBehindCounter(Book, "views", alias="memory")

    call(counter.add, book.pk, 3)

    assert views(book) == [3]
    assert (counter.pending(book.pk), counter.waiting(), counter.flush()) == (0, 0, Outcome())


def test_an_addition_is_one_round_trip(book: Book, valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = WriteBehindCounter(Book, "views")
    backlog = counter.backlog()
    assert backlog is not None
    sent: list[bytes] = []
    exchange = backlog.store.wire.exchange

    def overheard(payload: bytes, replies: int) -> list[Any]:
        sent.append(payload)
        return exchange(payload, replies)

    monkeypatch.setattr(backlog.store.wire, "exchange", overheard)

    counter.add(book.pk)

    assert len(sent) == 1


def test_batches_are_bounded(books: list[Book]) -> None:
    counter = WriteBehindCounter(Book, "views")
    counter.rows_a_batch = 4
    for n, book in enumerate(books, start=1):
        counter.add(book.pk, n)

    assert counter.flush() == Outcome(rows=10)
    assert views(*books) == list(range(1, 11))
    assert sorted(AppliedBatch.objects.values_list("rows", flat=True)) == [2, 4, 4]


def test_a_batch_left_behind_is_found_by_the_next_flush(book: Book) -> None:
    counter = WriteBehindCounter(Book, "views")
    counter.add(book.pk, 2)
    backlog = counter.backlog()
    assert backlog is not None
    assert backlog.seal(1000)
    counter.add(book.pk, 3)

    assert (counter.pending(book.pk), counter.waiting()) == (5, 2)
    assert counter.flush() == Outcome(rows=2)
    assert views(book) == [5]
    assert backlog.sealed() == []


def test_a_batch_that_the_database_has_is_not_applied_again(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = WriteBehindCounter(Book, "views")
    counter.add(book.pk, 2)
    with monkeypatch.context() as dying:
        dying.setattr(Backlog, "drop", _die)
        with pytest.raises(KeyboardInterrupt):
            counter.flush()
    backlog = counter.backlog()
    assert backlog is not None
    assert len(backlog.sealed()) == 1

    assert counter.flush() == Outcome()
    assert views(book) == [2]
    assert backlog.sealed() == []


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_the_database_refused_to_take_waits_for_the_next_flush(book: Book) -> None:
    counter = WriteBehindCounter(Book, "views")
    counter.add(book.pk, 2)

    def away(*_: Any) -> None:
        raise OperationalError("the server is gone")

    with connection.execute_wrapper(away), pytest.raises(DatabaseError):
        counter.flush()
    assert (views(book), counter.pending(book.pk)) == ([0], 2)

    counter.flush()

    assert (views(book), counter.pending(book.pk)) == ([2], 0)


def test_keys_whose_rows_are_gone_are_counted_as_missing(book: Book) -> None:
    counter = WriteBehindCounter(Book, "views")
    counter.add(book.pk)
    counter.add(book.pk + 1000)

    assert counter.flush() == Outcome(rows=1, missing=1)
    assert not Book.objects.filter(pk=book.pk + 1000).exists()


@pytest.mark.parametrize("key", ["pk", "book", "book_id"])
def test_rows_of_a_counter_table_are_made_where_the_counted_row_is_there(key: str, books: list[Book]) -> None:
    counter = WriteBehindCounter(Visits, "count", key=key)
    Visits.objects.create(book=books[0], count=7)
    for one in (books[0].pk, books[1].pk, 123_456):
        counter.add(one, 2)

    assert counter.flush() == Outcome(rows=2, missing=1)
    assert dict(Visits.objects.values_list("book", "count")) == {books[0].pk: 9, books[1].pk: 2}


def test_rows_are_made_and_found_by_a_unique_text(db: None) -> None:
    Search.objects.create(words="known")
    counter = WriteBehindCounter(Search, "count", key="words")
    for _ in range(2):
        counter.add("blé d'or")
        counter.add("known", 2)
        counter.flush()

    assert dict(Search.objects.values_list("words", "count")) == {"blé d'or": 2, "known": 4}


def test_a_row_that_the_database_refuses_does_not_keep_the_others(books: list[Book]) -> None:
    counter = WriteBehindCounter(Book, "views")
    counter.add(books[0].pk, 1)
    counter.add(books[1].pk, -1)
    counter.add(books[2].pk, 3)

    assert counter.flush() == Outcome(rows=2, refused=1)
    assert views(*books[:3]) == [1, 0, 3]
    assert counter.waiting() == 0


def test_a_rollback_takes_no_count_back(book: Book) -> None:
    counter = WriteBehindCounter(Book, "views")
    with transaction.atomic():
        counter.add(book.pk)
        transaction.set_rollback(True)

    assert counter.pending(book.pk) == 1


@pytest.mark.django_db(transaction=True)
def test_a_flush_inside_a_transaction_is_refused_and_keeps_the_counts() -> None:
    book = Book.objects.create(title="A", author=Author.objects.create(name="B"))
    counter = WriteBehindCounter(Book, "views")
    counter.add(book.pk)

    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        counter.flush()

    assert (views(book), counter.pending(book.pk)) == ([0], 1)


def test_while_the_server_is_away_counts_go_to_the_database(
    call: Call, book: Book, own_valkey: Valkey, use_cache: Callable[..., None]
) -> None:
    use_cache(own_valkey.url)
    counter = WriteBehindCounter(Book, "views")
    call(counter.add, book.pk)
    own_valkey.kill()

    for _ in range(5):
        call(counter.add, book.pk)

    assert views(book) == [5]


@pytest.fixture
def slow() -> Iterator[type[SlowCounter]]:
    SlowCounter.inside, SlowCounter.go_on = threading.Event(), threading.Event()
    yield SlowCounter
    SlowCounter.go_on.set()


class SlowCounter(WriteBehindCounter):
    """Stops before the first commit of a batch until it may go on."""

    inside: threading.Event
    go_on: threading.Event

    def _claim(self, batch: Batch) -> bool:
        claimed = super()._claim(batch)
        if threading.current_thread().name == "first":
            self.inside.set()
            assert self.go_on.wait(60)
        return claimed


def _flushing(counter: WriteBehindCounter, name: str, found: list[Outcome]) -> threading.Thread:
    def flush() -> None:
        found.append(counter.flush())
        connection.close()

    thread = threading.Thread(target=flush, name=name, daemon=True)
    thread.start()
    return thread


@pytest.mark.django_db(transaction=True)
def test_of_two_flushers_at_once_the_second_leaves_it_to_the_first(slow: type[SlowCounter]) -> None:
    book = Book.objects.create(title="A", author=Author.objects.create(name="B"))
    counter, found = slow(Book, "views"), list[Outcome]()
    counter.add(book.pk, 2)
    first = _flushing(counter, "first", found)
    assert slow.inside.wait(60)

    assert counter.flush() == Outcome()

    slow.go_on.set()
    first.join(60)
    assert (found, views(book)) == ([Outcome(rows=1)], [2])


@pytest.mark.django_db(transaction=True)
def test_a_flusher_that_outlives_its_lock_doubles_nothing(slow: type[SlowCounter]) -> None:
    book = Book.objects.create(title="A", author=Author.objects.create(name="B"))
    counter, found = slow(Book, "views"), list[Outcome]()
    counter.lock_seconds = 0.01
    counter.add(book.pk, 2)
    first = _flushing(counter, "first", found)
    assert slow.inside.wait(60)
    second = _flushing(counter, "second", found)
    second.join(0.3)

    slow.go_on.set()
    first.join(60)
    second.join(60)
    counter.flush()

    assert sorted(found) == [Outcome(), Outcome(rows=1)]
    assert (views(book), counter.waiting()) == ([2], 0)


def test_ids_are_forgotten_after_a_week(book: Book) -> None:
    counter = WriteBehindCounter(Book, "views")
    for batch, days in (("old", 8), ("young", 6)):
        AppliedBatch.objects.create(batch=batch, counter=counter.name, rows=1)
        AppliedBatch.objects.filter(batch=batch).update(applied_at=timezone.now() - timedelta(days=days))

    counter.flush()

    assert [one.batch for one in AppliedBatch.objects.all()] == ["young"]


def test_flushing_all_goes_on_after_a_failure(books: list[Book], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = WriteBehindCounter(Book, "stock"), WriteBehindCounter(Book, "views")
    second.add(books[0].pk, 2)
    monkeypatch.setattr(first, "flush", _refuse)

    with pytest.raises(OperationalError, match="no disk"):
        writebehind.flush()

    assert views(books[0]) == [2]


def _refuse() -> None:
    raise OperationalError("no disk")


def test_counters_that_nobody_here_knows_are_told(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    WriteBehindCounter(Book, "views").add(book.pk)
    assert writebehind.strays() == {}

    monkeypatch.setattr(writebehind, "_counters", {})

    assert writebehind.strays() == {"zoo.book.views": 1}


@pytest.mark.parametrize(
    ("model", "field", "key", "why"),
    [
        (Book, "vews", "pk", "no field 'vews'.*views"),
        (Book, "title", "pk", "CharField; only a number"),
        (Book, "id", "pk", "only a number"),
        (Book, "views", "status", "not unique"),
        (Book, "views", "visits", "relation from elsewhere"),
    ],
)
def test_a_column_that_cannot_be_counted_is_refused(model: type[models.Model], field: str, key: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        WriteBehindCounter(model, field, key=key)

    assert writebehind.registered() == []


def test_a_counter_that_is_told_too_little_says_what_it_needs() -> None:
    anything: Any = WriteBehindCounter

    with pytest.raises(TypeError, match=r"takes a model .*\(Product, 'views'\); not 'shop.Product'"):
        anything("shop.Product")
    with pytest.raises(
        TypeError, match=r"WriteBehindCounter\(Book\) does not say what is counted.*price, stock, views"
    ):
        anything(Book)

    assert writebehind.registered() == []


def test_two_counters_need_two_names() -> None:
    WriteBehindCounter(Book, "views")

    with pytest.raises(ValueError, match=r"Two write-behind counters are called 'zoo.book.views'"):
        WriteBehindCounter(Book, "views")

    assert WriteBehindCounter(Book, "views", name="again").name == "again"


def test_a_flush_needs_a_time_between() -> None:
    with pytest.raises(ValueError, match="flush_every must be a positive number"):
        WriteBehindCounter(Book, "views", flush_every=0)


def test_an_unknown_counter_is_told_with_those_known() -> None:
    WriteBehindCounter(Book, "views")

    with pytest.raises(writebehind.UnknownCounter, match=r"'nope' \(known: zoo.book.views\)"):
        writebehind.flush("nope")


@pytest.mark.parametrize("key", [None, "", "abc", 2**70, "1; DROP", object()])
def test_a_key_that_no_row_can_have_is_refused(key: object, call: Call) -> None:
    counter = WriteBehindCounter(Book, "views")

    with pytest.raises(InvalidKey, match=r"Book\.views is counted by id"):
        call(counter.add, key)


@pytest.mark.parametrize("key", [None, "", "x" * 21, "nul\0", "\ud800"])
def test_a_text_that_no_row_can_have_is_refused(key: object) -> None:
    with pytest.raises(InvalidKey, match=r"Search\.count is counted by words"):
        WriteBehindCounter(Search, "count", key="words").add(key)


@pytest.mark.django_db(transaction=True)
def test_what_shows_a_counted_row_is_stale_after_the_flush_and_nothing_else() -> None:
    author = Author.objects.create(name="B")
    books = [Book.objects.create(title=title, author=author) for title in "AB"]
    counter = WriteBehindCounter(Book, "views")

    @cached(timeout=300)
    def shown(pk: int) -> int:
        computed.append(pk)
        return Book.objects.get(pk=pk).views

    computed: list[int] = []
    counted, other = books[0].pk, books[1].pk
    counter.add(counted, 2)
    assert (shown(counted), shown(other)) == (0, 0)

    counter.flush()

    assert (shown(counted), shown(other)) == (2, 0)
    assert computed == [counted, other, counted]
