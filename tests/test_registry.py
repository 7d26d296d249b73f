"""Which tags a thing stands for when it is invalidated by hand."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import SimpleLazyObject

from cachekit import cached, invalidate, registry
from cachekit.exceptions import InvalidTag
from tests.orm.world import ADA, CAFE, ONE, THREE, populate
from tests.zoo.models import Author, Book, Novel, Place, Restaurant, Tag

pytestmark = pytest.mark.django_db(transaction=True)


def told(*things: Any) -> set[str]:
    return set(registry.targets_of(things))


def test_an_instance_is_its_row_its_slices_and_the_table() -> None:
    populate()
    tags = {"zoo.book", f"zoo.book#{ONE}", f"zoo.book?author={ADA}", "zoo.book?status=draft"}

    assert told(Book.objects.get(pk=ONE)) == tags
    assert told(Novel.objects.get(pk=ONE)) == tags
    assert told(SimpleLazyObject(lambda: Book.objects.get(pk=ONE))) == tags


def test_a_deferred_slice_is_every_slice_and_asks_nothing(django_assert_num_queries: Any) -> None:
    populate()
    book = Book.objects.only("title").get(pk=ONE)

    with django_assert_num_queries(0):
        assert told(book) == {"zoo.book", f"zoo.book#{ONE}", "zoo.book?*"}


def test_a_child_is_its_parents_too() -> None:
    populate()

    assert told(Restaurant.objects.get(pk=CAFE)) == {
        "zoo.restaurant",
        f"zoo.restaurant#{CAFE}",
        "zoo.place",
        f"zoo.place#{CAFE}",
        "zoo.place?city=ghent",
    }


def test_a_model_is_all_of_its_tables_in_every_database() -> None:
    here, there = ("zoo.book", "zoo.book#*", "zoo.book?*"), ("zoo.book@other", "zoo.book@other#*", "zoo.book@other?*")

    assert told(Book) == told(Novel) == {*here, *there}
    assert told("zoo.book") == set(here)


def test_a_queryset_is_its_rows_and_a_large_one_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    populate()
    drafts = Book.objects.filter(status="draft")

    assert told(drafts) == told(*drafts)
    assert told(drafts.values("title").order_by("-pk")[:1]) == told(Book.objects.get(pk=THREE))
    assert told(Book.objects.none()) == set()
    monkeypatch.setattr(registry, "MAX_QUERYSET_ROWS", 1)
    assert told(drafts) == {"zoo.book", "zoo.book#*", "zoo.book?*"}


def test_text_is_itself_and_a_row_the_table_too() -> None:
    assert told("homepage") == {"homepage"}
    assert told("zoo.book#7") == {"zoo.book", "zoo.book#7"}
    assert told("zoo.book?status=draft") == {"zoo.book", "zoo.book?status=draft"}
    assert told("zoo.book#*", "*", "db:default") == {"zoo.book", "zoo.book#*", "*", "db:default"}


@pytest.mark.parametrize("wrong", [5, None, object(), Place.name, "", "white space", "x" * 300])
def test_other_things_are_refused(wrong: Any) -> None:
    with pytest.raises(InvalidTag):
        told(wrong)


@pytest.mark.parametrize("names", ["status", ("nothing",), ("tags",), ("notes",), ("cover",)])
def test_wrong_indexes_are_named(names: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Book, "CACHEKIT_INDEXES", names)
    registry.indexes_of.cache_clear()
    try:
        with pytest.raises(ImproperlyConfigured, match=r"Book\.CACHEKIT_INDEXES"):
            registry.indexes_of(Book)
    finally:
        registry.indexes_of.cache_clear()


@pytest.mark.parametrize(
    "thing", [Author, "zoo.author", f"zoo.author#{ADA}", "db:default", "*", "mine", Author(pk=ADA)]
)
def test_what_is_invalidated_by_hand_is_computed_anew(thing: Any, django_assert_num_queries: Any) -> None:
    populate()

    @cached(300, tags=("mine",))
    def name() -> str:
        return Author.objects.get(pk=ADA).name

    @cached(300)
    def tags() -> int:
        return Tag.objects.count()

    assert (name(), tags()) == ("Ada", 2)
    invalidate(thing)

    with django_assert_num_queries(2 if thing in ("db:default", "*") else 1):
        assert (name(), tags()) == ("Ada", 2)
