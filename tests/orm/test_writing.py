"""Which tags a write names: enough for every reader, and no more than the rows and slices it touches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections, models, transaction
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Concat
from django.test.utils import CaptureQueriesContext

from cachekit import cached, hooks, registry
from tests.orm.world import ADA, BLUE, BOB, CAFE, FOUR, NONE, ONE, PARK, PORT, RED, THREE, TWO, populate
from tests.zoo.models import Author, Book, Club, Country, Note, Novel, Parcel, Place, Port, Restaurant, Tag

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def told() -> Iterator[set[str]]:
    """The tags that are invalidated from now on."""
    populate()
    found: set[str] = set()

    def note(event: hooks.Invalidated) -> None:
        found.update(event.tags)

    hooks.subscribe(hooks.Invalidated, note)
    yield found
    hooks.unsubscribe(hooks.Invalidated, note)


def book(*keys: int, **slices: Any) -> set[str]:
    """Return the tags of rows and slices of books, with the table's."""
    found = {"zoo.book"} | {f"zoo.book#{key}" for key in keys}
    for name, values in slices.items():
        found |= {f"zoo.book?{name}={value}" for value in (values if isinstance(values, tuple) else (values,))}
    return found


WRITES: dict[str, tuple[Callable[[], Any], set[str]]] = {
    "save": (lambda: Book.objects.get(pk=ONE).save(), book(ONE, author=ADA, status="draft")),
    "save a move": (
        lambda: Book(pk=ONE, title="x", author_id=BOB, status="out").save(),
        book(ONE, author=(ADA, BOB), status=("draft", "out")),
    ),
    "update a row": (
        lambda: Book.objects.filter(pk=ONE).update(title="x"),
        book(ONE, author=ADA, status="draft"),
    ),
    "update a slice": (
        lambda: Book.objects.filter(status="draft").update(stock=1),
        book(ONE, THREE, author=(ADA, BOB), status="draft"),
    ),
    "update out of a slice": (
        lambda: Book.objects.filter(status="draft").update(status="sold"),
        book(ONE, THREE, author=(ADA, BOB), status=("draft", "sold")),
    ),
    "update over a join": (
        lambda: Book.objects.filter(author__name="Ada").update(stock=1),
        book(ONE, TWO, author=ADA, status=("draft", "out")),
    ),
    "update of none": (lambda: Book.objects.filter(pk=NONE).update(stock=1), book()),
    "update an expression": (
        lambda: Book.objects.filter(pk=ONE).update(status=Concat(F("status"), Value("s"))),
        book(ONE, author=ADA, status="draft") | {"zoo.book?*"},
    ),
    "update a proxy": (lambda: Novel.objects.filter(pk=ONE).update(stock=1), book(ONE, author=ADA, status="draft")),
    "update without indexes": (
        lambda: Author.objects.filter(name="Ada").update(email="x"),
        {"zoo.author", "zoo.author#*"},
    ),
    "update a row without indexes": (
        lambda: Author.objects.filter(pk=ADA).update(email="x"),
        {"zoo.author", f"zoo.author#{ADA}"},
    ),
    "update a key": (
        lambda: Country.objects.filter(pk="nl").update(code="de"),
        {"zoo.country", "zoo.country#nl", "zoo.country#de"},
    ),
    "create": (
        lambda: Book.objects.create(pk=NONE, title="x", author_id=ADA, status="sold"),
        book(NONE, author=ADA, status="sold"),
    ),
    "create many": (
        lambda: Tag.objects.bulk_create(Tag(name=f"tag {n}") for n in range(201)),
        {"zoo.tag", "zoo.tag#*", "zoo.tag?*"},
    ),
    "bulk_create, conflicts updated": (
        lambda: Book.objects.bulk_create(
            [Book(pk=ONE, author_id=ADA)], update_conflicts=True, unique_fields=["id"], update_fields=["title"]
        ),
        book() | {"zoo.book#*", "zoo.book?*"},
    ),
    "bulk_update": (
        lambda: Book.objects.bulk_update([Book(pk=ONE, title="x"), Book(pk=FOUR, title="y")], ["title"]),
        book(ONE, FOUR, author=(ADA, BOB), status=("draft", "out")),
    ),
    "delete fast": (lambda: Note.objects.filter(pk=NONE).delete(), {"zoo.note", f"zoo.note#{NONE}"}),
    "a child": (
        lambda: Restaurant.objects.filter(pk=CAFE).update(city="Bruges"),
        {"zoo.place", f"zoo.place#{CAFE}", "zoo.place?city=ghent", "zoo.place?city=bruges"},
    ),
    "a parent": (
        lambda: Place.objects.filter(pk=PARK).delete(),
        {"zoo.place", f"zoo.place#{PARK}", "zoo.place?city=ghent", "zoo.restaurant", f"zoo.restaurant#{PARK}"},
    ),
    "a migration": (
        lambda: _historical().filter(pk=ONE).update(stock=1),
        book() | {"zoo.book#*", "zoo.book?*"},
    ),
}


def _historical() -> Any:
    from django.db.migrations.state import ProjectState

    return ProjectState.from_apps(Book._meta.apps).apps.get_model("zoo", "Book").objects


@pytest.mark.parametrize("write", WRITES)
def test_a_write_names_exactly(write: str, told: set[str]) -> None:
    deed, tags = WRITES[write]

    deed()

    assert told == tags


def test_the_old_value_is_the_databases_not_the_instances() -> None:
    populate()

    @cached(300)
    def sold() -> list[str]:
        return list(Book.objects.filter(status="sold").values_list("title", flat=True))

    late = Book.objects.get(pk=ONE)
    Book.objects.filter(pk=ONE).update(status="sold")
    assert sold() == ["one"]

    late.status = "out"
    late.save()

    assert sold() == []


def test_other_rows_slices_and_tables_stay_hits(django_assert_num_queries: Any) -> None:
    populate()
    kept: list[Callable[[], Any]] = [
        cached(300, name=f"kept{n}")(read)
        for n, read in enumerate(
            (
                lambda: Book.objects.get(pk=TWO).title,
                lambda: [b.title for b in Book.objects.filter(pk__in=[TWO, THREE, FOUR])],
                lambda: [b.title for b in Book.objects.filter(author=BOB)],
                lambda: [b.title for b in Book.objects.filter(author_id=BOB, status="draft", title="three")],
                lambda: Book.objects.filter(status="out").count(),
                lambda: Book.objects.filter(status="sold").exists(),
                lambda: Author.objects.get(pk=BOB).name,
                lambda: [t.name for t in Tag.objects.all()],
                lambda: Book.objects.get(pk=TWO).author.name,
                lambda: [p.name for p in Place.objects.filter(city="Ghent")],
                lambda: list(Parcel.objects.all()),
            )
        )
    ]
    for read in kept:
        read()

    Book.objects.filter(pk=ONE).update(title="x")
    Book.objects.get(pk=ONE).save()
    Book.objects.create(title="new", author_id=ADA, status="draft").delete()
    Author(pk=NONE, name="new").save(force_insert=True)
    Restaurant.objects.create(name="x", city="Bruges")
    Club.objects.all().delete()

    with django_assert_num_queries(0):
        for read in kept:
            read()


def test_a_model_without_indexes_pays_no_query(django_assert_num_queries: Any) -> None:
    populate()

    with django_assert_num_queries(1):
        Author.objects.filter(name="Ada").update(email="x")
    with django_assert_num_queries(1):
        Author(pk=ADA, name="Ada").save(force_update=True)


def test_text_that_a_collation_may_call_equal_is_one_slice() -> None:
    populate()
    field = Book._meta.get_field("status")

    tags = {registry.slice_of("zoo.book", field, text) for text in ("Café", "cafe", "CAFÉ ", "cafe\u0301")}

    assert len(tags) == 1


@pytest.fixture
def index_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`index_of(Port, "favourite")` declares indexes for one test."""

    def declare(model: type[models.Model], *names: str) -> None:
        monkeypatch.setattr(model, "CACHEKIT_INDEXES", names, raising=False)
        registry.indexes_of.cache_clear()

    yield declare
    monkeypatch.undo()
    registry.indexes_of.cache_clear()


def test_a_foreign_key_to_another_column_is_a_slice_by_that_column(index_of: Callable[..., None]) -> None:
    index_of(Port, "favourite")
    populate()

    @cached(300)
    def blue() -> list[int]:
        return list(Port.objects.filter(favourite=Tag(pk=BLUE, name="blue")).values_list("pk", flat=True))

    assert blue() == []
    Port.objects.filter(pk=PORT).update(favourite=Tag.objects.get(pk=BLUE))
    assert blue() == [PORT]
    Port.objects.get(pk=PORT).delete()
    assert blue() == []


def test_a_decimal_that_the_database_rounds_means_every_slice(index_of: Callable[..., None]) -> None:
    index_of(Book, "price")
    populate()

    @cached(300)
    def priced() -> int:
        return Book.objects.filter(price__in=[Decimal(1), Decimal("1.01")]).count()

    assert priced() == 0
    Book.objects.filter(pk=ONE).update(price=Decimal("1.0051"))
    assert priced() == Book.objects.filter(price=Decimal("1.01")).count()


def test_a_number_is_one_slice_however_it_is_written(index_of: Callable[..., None]) -> None:
    index_of(Book, "price", "stock", "published")
    populate()

    @cached(300)
    def found() -> int:
        return Book.objects.filter(price="3.5").count() + Book.objects.filter(stock="4").count()

    assert found() == 0
    Book(pk=ONE, title="x", author_id=ADA, price="3.50", stock="4").save()
    assert found() == 2


def test_null_is_a_slice(index_of: Callable[..., None], django_assert_num_queries: Any) -> None:
    index_of(Book, "editor")
    populate()

    @cached(300)
    def unedited() -> list[str]:
        return sorted(Book.objects.filter(editor=None).values_list("title", flat=True))

    assert unedited() == ["four", "three"]
    Book.objects.filter(pk=ONE).update(title="uno")
    with django_assert_num_queries(0):
        assert unedited() == ["four", "three"]
    Book.objects.filter(pk=ONE).update(editor=None)
    assert unedited() == ["four", "three", "uno"]


def test_a_manager_that_hides_rows_hides_no_write(monkeypatch: pytest.MonkeyPatch) -> None:
    populate()
    visible: models.Manager[Book] = models.Manager.from_queryset(QuerySet)()
    monkeypatch.setattr(visible, "get_queryset", lambda: QuerySet(Book).filter(~Q(status="draft")))
    monkeypatch.setattr(Book._meta, "base_manager", visible)

    @cached(300)
    def drafts() -> list[str]:
        return sorted(Book.objects.filter(status="draft").values_list("title", flat=True))

    assert drafts() == ["one", "three"]
    Book.objects.filter(pk=ONE).update(title="uno")
    assert drafts() == ["three", "uno"]


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="how SQLite locks")
def test_looking_first_does_not_make_a_write_fail_where_it_would_have_waited() -> None:
    populate()
    mode, connection.transaction_mode = connection.transaction_mode, None  # type: ignore[attr-defined]
    errors: list[Exception] = []

    def write(pk: int) -> None:
        connection.transaction_mode = None  # type: ignore[attr-defined]
        try:
            for _ in range(10):
                Book.objects.filter(pk=pk).update(stock=F("stock") + 1)
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(pk,)) for pk in (ONE, TWO, THREE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connection.transaction_mode = mode  # type: ignore[attr-defined]

    assert errors == []
    assert sum(Book.objects.filter(pk__in=[ONE, TWO, THREE]).values_list("stock", flat=True)) == 31


@pytest.mark.postgres
def test_a_row_that_slips_in_between_looking_and_writing_is_invalidated(told: set[str]) -> None:
    def slip_in() -> None:
        Book.objects.create(pk=NONE, title="late", author_id=ADA, status="draft")
        connections.close_all()

    def interrupt(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        if sql.startswith("UPDATE"):
            thread = threading.Thread(target=slip_in)
            thread.start()
            thread.join()
        return execute(sql, *args)

    with connection.execute_wrapper(interrupt):
        assert Book.objects.filter(status="draft").update(stock=5) == 3

    assert {"zoo.book#*", "zoo.book?*"} <= told


def test_a_failed_write_invalidates_nothing(told: set[str]) -> None:
    with pytest.raises(Exception, match=r"UNIQUE|unique"), transaction.atomic():
        Tag.objects.filter(pk=RED).update(name="blue")

    assert told == set()


PLAIN: dict[str, tuple[Callable[[], Any], int]] = {
    "create": (lambda: Author.objects.create(name="new"), 1),
    "save": (lambda: Author(pk=ADA, name="Ada").save(force_update=True), 1),
    "save some fields": (lambda: Author(pk=ADA, name="Ada").save(update_fields=["name"]), 1),
    "update": (lambda: Author.objects.filter(name="Ada").update(email="x"), 1),
    "update an expression": (lambda: Author.objects.update(name=Concat(F("name"), Value("!"))), 1),
    "bulk_create": (lambda: Tag.objects.bulk_create([Tag(name="a"), Tag(name="b")]), 1),
    "bulk_update": (lambda: Author.objects.bulk_update([Author(pk=ADA, name="a")], ["name"]), 1),
    "fast delete": (lambda: Note.objects.filter(text="nice").delete(), 1),
    "raw delete": (lambda: Note.objects.all()._raw_delete(using="default"), 1),
    "add to a relation": (lambda: Club.objects.create(name="new"), 1),
}


@pytest.mark.parametrize("write", PLAIN)
def test_a_model_without_declared_indexes_pays_nothing(write: str) -> None:
    """No SELECT before a write, and a fast delete stays one statement."""
    populate()
    deed, statements = PLAIN[write]

    with CaptureQueriesContext(connection) as queries:
        deed()

    said = [one["sql"].split()[0] for one in queries.captured_queries]
    assert [word for word in said if word not in ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")] == [
        word for word in said if word in ("INSERT", "UPDATE", "DELETE")
    ]
    assert len([word for word in said if word in ("INSERT", "UPDATE", "DELETE")]) == statements


def test_a_model_with_declared_indexes_pays_one_select() -> None:
    populate()

    with CaptureQueriesContext(connection) as queries:
        Book.objects.filter(pk=ONE).update(title="x")

    assert [one["sql"].split()[0] for one in queries.captured_queries if "zoo_book" in one["sql"]] == [
        "SELECT",
        "UPDATE",
    ]
