"""Keys of several columns, and columns that only the database knows: every write to them is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.models import CharField, F
from django.db.models.functions import Upper
from django.db.models.lookups import Exact

from cachekit import CachedQuerySet, cached, uncached
from tests.zoo.builders import make_book
from tests.zoo.made import Seat, Word
from tests.zoo.models import Book

pytestmark = pytest.mark.django_db(transaction=True)


def seats() -> Any:
    return CachedQuerySet(Seat).cached(600)


def words() -> Any:
    return CachedQuerySet(Word).cached(600)


def saved(one: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(one, name, value)
    one.save()


SEATS: dict[str, Callable[[], Any]] = {
    "all": lambda: sorted(seats().values_list("line", "place", "kind", "guest")),
    "one": lambda: [one.guest for one in seats().filter(pk=(1, 2))],
    "some": lambda: sorted(one.guest for one in seats().filter(pk__in=[(1, 2), (3, 4)])),
    "part of the key": lambda: [one.guest for one in seats().filter(line=1)],
    "slice": lambda: sorted(one.guest for one in seats().filter(kind="plain")),
    "another slice": lambda: sorted(one.guest for one in seats().filter(kind="grand")),
    "in bulk": lambda: {key: one.guest for key, one in seats().in_bulk([(1, 2), (3, 4)]).items()},
}
SEATING: list[Callable[[], Any]] = [
    lambda: Seat.objects.filter(pk=(1, 2)).update(guest="Ada"),
    lambda: Seat.objects.filter(pk=(1, 2)).update(kind="grand"),
    lambda: saved(Seat.objects.get(pk=(1, 2)), guest="Bob"),
    lambda: Seat.objects.bulk_update([Seat(line=3, place=4, guest="Eve")], ["guest"]),
    lambda: Seat.objects.update_or_create(line=3, place=4, defaults={"kind": "grand"}),
    lambda: Seat.objects.create(line=5, place=6),
    lambda: Seat.objects.bulk_create([Seat(line=7, place=8, guest="Zoe")]),
    lambda: Seat.objects.filter(kind="plain").update(kind="grand"),
    lambda: Seat.objects.get(pk=(1, 2)).delete(),
    lambda: Seat.objects.filter(line__gt=1).delete(),
]
WORDS: dict[str, Callable[[], Any]] = {
    "generated": lambda: sorted(one.text for one in words().filter(bare="bob")),
    "another generated": lambda: sorted(words().filter(bare="eve").values_list("text", "count")),
    "a default": lambda: sorted(one.text for one in words().filter(kind="noun")),
    "no default": lambda: words().filter(kind="verb").count(),
    "one": lambda: [(one.text, one.bare, one.kind) for one in words().filter(pk=1)],
}
SPELLING: list[Callable[[], Any]] = [
    lambda: Word.objects.create(pk=2, text="BOB"),
    lambda: Word(pk=3, text="Eve").save(),
    lambda: Word.objects.filter(text="BOB").update(text="EVE"),
    lambda: saved(Word.objects.get(pk=1), text="bob"),
    lambda: Word.objects.update(kind="verb"),
    lambda: Word.objects.bulk_create([Word(pk=4, text="bob"), Word(pk=5, text="eve", kind="verb")]),
    lambda: Word.objects.bulk_update([Word(pk=1, text="EvE")], ["text"]),
    lambda: Word.objects.update_or_create(pk=1, defaults={"text": "Bob"}),
    lambda: Word.objects.filter(pk=1).update(text=Upper(F("text"))),
    lambda: Word.objects.bulk_create(
        [Word(pk=1, text="eve")], update_conflicts=True, unique_fields=["id"], update_fields=["text"]
    ),
    lambda: Word.objects.filter(bare="eve").delete(),
]


def are_fresh_after_each(asked: dict[str, Callable[[], Any]], writes: list[Callable[[], Any]]) -> None:
    """Ask through querysets and through functions, with answers kept of both, after each write."""
    doors: dict[str, Any] = {name: cached(600, name=name.replace(" ", "-"))(ask) for name, ask in asked.items()}
    for at, write in enumerate(writes):
        for name, ask in asked.items():
            ask(), doors[name]()

        write()

        with uncached():
            right = {name: ask() for name, ask in asked.items()}
        assert {name: ask() for name, ask in asked.items()} == right, f"write {at}"
        assert {name: doors[name]() for name in asked} == right, f"write {at}, in functions"


def test_rows_with_composite_keys() -> None:
    Seat.objects.create(line=1, place=2)
    Seat.objects.create(line=3, place=4)

    are_fresh_after_each(SEATS, SEATING)


def test_generated_columns_and_defaults_of_the_database() -> None:
    Word(pk=1, text="Zoe").save()

    are_fresh_after_each(WORDS, SPELLING)


def test_a_write_to_other_columns_leaves_slices_of_a_generated_one_alone(django_assert_num_queries: Any) -> None:
    Word(pk=1, text="Zoe").save()
    Word(pk=2, text="Bob").save()
    WORDS["generated"]()

    Word.objects.filter(pk=1).update(count=5)

    with django_assert_num_queries(0):
        WORDS["generated"]()


class Begins(Exact):
    """A project's own equality, which more rows pass than those with an equal value."""

    lookup_name = "begins"

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        left, first = self.process_lhs(compiler, connection)
        right, second = self.process_rhs(compiler, connection)
        return f"{left} LIKE {right} || '%%'", [*first, *second]


@pytest.fixture
def _begins() -> Iterator[None]:
    CharField.register_lookup(Begins)
    yield
    CharField._unregister_lookup(Begins)


@pytest.mark.usefixtures("_begins")
def test_a_projects_own_equality_depends_on_the_table() -> None:
    book = make_book("old", status="draft")
    drafts = cached(600, name="drafts")(lambda: list(Book.objects.filter(status__begins="dr").values_list("title")))
    drafts()

    Book.objects.filter(pk=book.pk).update(title="new")
    assert drafts() == [("new",)]

    Book.objects.filter(status__begins="dr").update(title="newer")
    assert drafts() == [("newer",)]
