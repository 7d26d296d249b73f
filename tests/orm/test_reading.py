"""What a query depends on, and which queries are not stored because nobody can tell."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import CharField, DateTimeField, F, Field, FloatField, Func, IntegerField, Lookup, Max, Q, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now, Random

from cachekit import CachedQuerySet, cached, hooks
from cachekit.core.capture import Capture, capturing
from cachekit.core.dependencies import encode, readable
from cachekit.orm import sqltext
from tests.orm.world import ADA, BOX, CAFE, ONE, TWO, populate
from tests.zoo.models import Author, Book, Country, Novel, Parcel, Place, Restaurant, Tag

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def refused() -> Iterator[list[str]]:
    """Why values were not stored."""
    reasons: list[str] = []

    def note(event: hooks.Refused) -> None:
        reasons.append(event.reason)

    hooks.subscribe(hooks.Refused, note)
    yield reasons
    hooks.unsubscribe(hooks.Refused, note)


def tags_of(read: Callable[[], Any]) -> set[str]:
    """Return what is captured while reading."""
    capture = Capture(b"", 0)
    with capturing(capture):
        read()
    assert not capture.obstacle
    return capture._tags


DEPENDENCIES: dict[str, tuple[Callable[[], Any], set[str]]] = {
    "row": (lambda: list(Book.objects.filter(pk=ONE)), {f"zoo.book#{ONE}"}),
    "row by text": (lambda: list(Book.objects.filter(pk=str(ONE))), {f"zoo.book#{ONE}"}),
    "row of a proxy": (lambda: list(Novel.objects.filter(pk=ONE)), {f"zoo.book#{ONE}"}),
    "rows": (lambda: list(Book.objects.filter(pk__in={ONE, TWO})), {f"zoo.book#{ONE}", f"zoo.book#{TWO}"}),
    "too many rows": (lambda: list(Book.objects.filter(pk__in=range(100))), {"zoo.book"}),
    "uuid": (lambda: list(Parcel.objects.filter(pk=str(BOX))), {f"zoo.parcel#{BOX}"}),
    "text key": (lambda: list(Country.objects.filter(pk="BE")), {"zoo.country#be"}),
    "row and relation": (
        lambda: list(Book.objects.filter(pk=ONE).select_related("author")),
        {f"zoo.book#{ONE}", "zoo.author"},
    ),
    "slice": (lambda: list(Book.objects.filter(status="draft")), {"zoo.book?status=draft"}),
    "slice of a proxy": (lambda: list(Novel.objects.filter(status="draft")), {"zoo.book?status=draft"}),
    "slice by instance": (lambda: list(Book.objects.filter(author=Author(pk=ADA))), {f"zoo.book?author={ADA}"}),
    "slice by the other's key": (lambda: list(Book.objects.filter(author__pk=ADA)), {f"zoo.book?author={ADA}"}),
    "slices": (
        lambda: list(Book.objects.filter(status__in=["draft", "out"])),
        {"zoo.book?status=draft", "zoo.book?status=out"},
    ),
    "slice and more": (
        lambda: list(Book.objects.filter(Q(status="draft") & Q(price__gt=1))),
        {"zoo.book?status=draft"},
    ),
    "empty slice": (lambda: list(Book.objects.filter(status="")), {"zoo.book?status=~empty"}),
    "odd slice": (lambda: list(Book.objects.filter(status="a *\n?#")), {"zoo.book?status=a%20%2A%0A%3F%23"}),
    "or": (lambda: list(Book.objects.filter(Q(status="draft") | Q(price=1))), {"zoo.book"}),
    "not": (lambda: list(Book.objects.exclude(status="draft")), {"zoo.book"}),
    "expression": (lambda: list(Book.objects.filter(status=F("title"))), {"zoo.book"}),
    "child": (lambda: list(Restaurant.objects.filter(pk=CAFE)), {f"zoo.restaurant#{CAFE}", "zoo.place"}),
    "parent": (lambda: list(Place.objects.filter(pk=CAFE)), {f"zoo.place#{CAFE}"}),
    "parent's index": (lambda: list(Place.objects.filter(city="Ghent")), {"zoo.place?city=ghent"}),
    "index of another": (
        lambda: list(Tag.objects.filter(books__status="draft")),
        {"zoo.tag", "zoo.book", "zoo.book_tags"},
    ),
    "other database": (lambda: list(Book.objects.using("other").filter(pk=ONE)), {f"zoo.book@other#{ONE}"}),
}


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.parametrize("shape", DEPENDENCIES)
def test_a_read_depends_on(shape: str) -> None:
    read, tags = DEPENDENCIES[shape]

    assert tags_of(read) == tags


def test_a_long_value_is_one_slice_of_bounded_length() -> None:
    (tag,) = tags_of(lambda: list(Book.objects.filter(status="x" * 1000)))

    assert tag.startswith("zoo.book?status=~")
    assert readable(encode([tag])) == ["zoo.book (1 slices)"]


def _cursor() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM zoo_book")
        cursor.fetchall()


UNREADABLE: dict[str, Callable[[], Any]] = {
    "cursor": _cursor,
    "raw()": lambda: list(Book.objects.raw("SELECT * FROM zoo_book")),
    "RawSQL": lambda: list(Book.objects.annotate(n=RawSQL("SELECT count(*) FROM zoo_author", ()))),
    "RawSQL in a filter": lambda: list(Book.objects.filter(pk__in=RawSQL("SELECT book_id FROM zoo_cover", ()))),
    "RawSQL in an order": lambda: list(Book.objects.order_by(RawSQL("title", (), output_field=CharField()))),
    "RawSQL in a subquery": lambda: list(
        Author.objects.filter(pk__in=Book.objects.annotate(n=RawSQL("stock", ())).filter(n=1).values("author"))
    ),
    "extra(select)": lambda: list(Book.objects.extra(select={"n": "SELECT count(*) FROM zoo_author"})),
    "extra(where)": lambda: list(Book.objects.extra(where=["id IN (SELECT book_id FROM zoo_cover)"])),
    "extra(tables)": lambda: list(Book.objects.extra(tables=["zoo_author"])),
    "a function of the project's that reads a table": lambda: list(Book.objects.annotate(n=Tables())),
}


class Tables(Func):
    """Reads rows in SQL of its own."""

    template = "(SELECT count(*) FROM zoo_author)"
    output_field = IntegerField()


class Twice(Func):
    """Computes with its argument."""

    template = "(%(expressions)s * 2)"
    output_field = IntegerField()


class Unlike(Lookup):
    """The one of Django's documentation."""

    lookup_name = "unlike"

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        left, of_left = self.process_lhs(compiler, connection)
        right, of_right = self.process_rhs(compiler, connection)
        return f"{left} <> {right}", [*of_left, *of_right]


class Here(Func):
    """Says the time under a name of its own."""

    template = "CURRENT_TIMESTAMP"
    output_field = DateTimeField()


VOLATILE: dict[str, Callable[[], Any]] = {
    "random order": lambda: list(Book.objects.order_by("?")),
    "Random": lambda: list(Book.objects.annotate(n=Random())),
    "Random in an order": lambda: list(Book.objects.order_by(Random())),
    "Now": lambda: list(Book.objects.filter(published__lt=Now())),
    "Now in an aggregate": lambda: Book.objects.aggregate(n=Max(Now())),
    "Now in a subquery": lambda: list(Author.objects.filter(books__in=Book.objects.filter(published__lt=Now()))),
    "an expression of the project's": lambda: list(Book.objects.annotate(n=Here())),
    "a function by name": lambda: list(Book.objects.annotate(n=Func(function="RANDOM", output_field=FloatField()))),
    "in an order, by name": lambda: list(
        Book.objects.order_by(Func(F("stock"), template="RANDOM()", output_field=FloatField()))
    ),
}


@pytest.mark.parametrize("shape", VOLATILE)
def test_what_the_database_answers_differently_is_stored_only_where_that_is_said(
    shape: str, refused: list[str], django_assert_num_queries: Any
) -> None:
    populate()

    def read() -> int:
        VOLATILE[shape]()
        return 1

    plain = cached(300, name="plain")(read)
    named = cached(300, name="named", tags=("mine",))(read)
    kept = cached(300, name="kept", volatile=True)(read)

    assert plain() == named() == kept() == 1

    assert len(refused) == 2
    assert "volatile=True" in refused[0]
    with django_assert_num_queries(2):
        plain(), named(), kept()
    Book.objects.filter(pk=ONE).update(title="uno")
    with django_assert_num_queries(1):
        kept()


def test_sql_of_the_projects_own_that_only_computes_leaves_a_read_as_narrow_as_it_was() -> None:
    Field.register_lookup(Unlike)
    try:
        assert tags_of(lambda: list(Book.objects.filter(status="draft", stock__unlike=1))) == {"zoo.book?status=draft"}
        assert tags_of(lambda: list(Book.objects.filter(pk=ONE).annotate(n=Twice("stock")))) == {f"zoo.book#{ONE}"}
        assert tags_of(lambda: list(Book.objects.filter(pk=ONE).order_by(Twice(F("stock"))))) == {f"zoo.book#{ONE}"}
        lower = Func(F("title"), function="LOWER", output_field=CharField())
        assert tags_of(lambda: list(Book.objects.filter(pk=ONE).annotate(n=lower))) == {f"zoo.book#{ONE}"}
    finally:
        Field._unregister_lookup(Unlike)
    assert tags_of(lambda: list(Book.objects.filter(pk=ONE).annotate(n=Tables()))) >= {"zoo.book", "zoo.author"}


@pytest.fixture
def _without_sqlglot(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing can read SQL as text, as where the extra `sql` is not installed."""
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    sqltext._tables_of.cache_clear()
    yield
    sqltext._tables_of.cache_clear()


@pytest.mark.usefixtures("_without_sqlglot")
@pytest.mark.parametrize("shape", UNREADABLE)
def test_what_cannot_be_read_is_not_stored_unless_tags_are_named(
    shape: str, refused: list[str], django_assert_num_queries: Any
) -> None:
    read = cached(300, name="unreadable")(lambda: [UNREADABLE[shape](), 1][1])
    named = cached(300, name="named", tags=("mine",))(lambda: [UNREADABLE[shape](), 1][1])

    assert read() == named() == 1

    assert len(refused) == 1
    with django_assert_num_queries(1):
        read()
    with django_assert_num_queries(0):
        named()


@pytest.mark.usefixtures("_without_sqlglot")
def test_what_contains_an_unreadable_part_is_not_stored_either(refused: list[str]) -> None:
    inner = cached(300, name="inner")(_cursor)
    outer = cached(300, name="outer")(lambda: [inner(), 1][1])

    outer()

    assert len(refused) == 2


def test_a_random_default_order_is_not_stored(monkeypatch: pytest.MonkeyPatch, refused: list[str]) -> None:
    monkeypatch.setattr(Book._meta, "ordering", ["?"])
    read = cached(300, name="random")(lambda: [book.title for book in Book.objects.all()])

    read()

    assert refused == ["random order differs each time; say volatile=True to keep it for the timeout all the same"]


def test_who_did_not_say_volatile_is_not_given_what_others_keep_so(django_assert_num_queries: Any) -> None:
    populate()
    asked = CachedQuerySet(Book).order_by("?")
    list(asked.cached(60, volatile=True))

    with django_assert_num_queries(0):
        list(asked.cached(60, volatile=True))
    for other in (asked.cached(60), asked.cached(30, volatile=True)):
        with django_assert_num_queries(1):
            list(other)


def test_reads_in_a_thread_with_the_context_are_captured() -> None:
    populate()

    def read() -> str:
        try:
            return Book.objects.get(pk=ONE).title
        finally:
            connections.close_all()

    def elsewhere() -> str:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(copy_context().run, read).result()

    assert tags_of(elsewhere) == {f"zoo.book#{ONE}"}


def test_a_deferred_field_is_read_in_the_capture() -> None:
    populate()
    book = Book.objects.only("title").get(pk=ONE)

    assert tags_of(lambda: book.status) == {f"zoo.book#{ONE}"}


def test_a_lazy_queryset_that_is_returned_is_read_in_the_capture(django_assert_num_queries: Any) -> None:
    populate()
    lazy = cached(300, name="lazy")(lambda: Book.objects.filter(status="draft").order_by("title"))

    assert [book.title for book in lazy()] == ["one", "three"]
    with django_assert_num_queries(0):
        assert [book.title for book in lazy()] == ["one", "three"]
    Book.objects.filter(pk=ONE).update(title="uno")
    assert [book.title for book in lazy()] == ["three", "uno"]


def test_a_constant_annotation_is_no_obstacle() -> None:
    assert tags_of(lambda: list(Book.objects.filter(pk=ONE).annotate(n=Value(1)))) == {f"zoo.book#{ONE}"}
