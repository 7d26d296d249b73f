"""Copies of model instances: what unpickling would give, in less time."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from django.db import models
from django.db.models import F
from django.utils.safestring import mark_safe

from cachekit.comparing import same
from cachekit.core.copies import copier_for, is_immutable
from cachekit.instances import is_plain
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book, Cover, Folder, Novel, Parcel, Restaurant

pytestmark = pytest.mark.django_db


class Odd(models.Model):
    """Has its own idea of a copy."""

    class Meta:
        abstract = True

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class Sealed(models.Model):
    """Sets attributes in its own way."""

    class Meta:
        abstract = True

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)


def decoded(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def copied(value: Any) -> Any:
    copier = copier_for(value)
    assert copier is not None
    return copier(value)


def books() -> list[Book]:
    author = make_author()
    return [make_book(author=author, title=f"book {number}") for number in range(3)]


@pytest.mark.parametrize(
    "queryset",
    [
        Book.objects.all(),
        Book.objects.select_related("author", "editor"),
        Book.objects.defer("title", "price"),
        Book.objects.only("title"),
        Book.objects.annotate(double=F("price") * 2),
        Book.objects.prefetch_related("author"),  # all have one and the same
        Novel.objects.all(),
        Book.objects.values("title", "price"),
        Book.objects.values_list("title", "published"),
    ],
    ids=["all", "select", "defer", "only", "annotate", "prefetch", "proxy", "values", "values_list"],
)
def test_a_copy_is_what_unpickling_gives(queryset: Any) -> None:
    books()
    master = decoded(list(queryset.all()))
    before = pickle.dumps(master)

    copy = copied(master)

    assert same(copy, master)
    assert copy is not master
    assert pickle.dumps(copy) == pickle.dumps(decoded(master))
    for one in copy:
        if isinstance(one, Book):
            one.title, one._state.db = "changed", "nowhere"
            one._state.fields_cache.clear()
            one.__dict__["more"] = 1
    assert pickle.dumps(master) == before


def test_a_copy_is_saved_like_its_original() -> None:
    books()
    (book,) = copied(decoded(list(Book.objects.select_related("author").filter(title="book 1"))))

    book.title = "renamed"
    book.author.name = "renamed too"
    book.save()
    book.author.save()

    assert Book.objects.filter(title="renamed", author__name="renamed too").count() == 1
    assert not book._state.adding


def test_what_is_one_object_stays_one() -> None:
    author = make_author()
    for _ in range(3):
        make_book(author=author)
    master = decoded(list(author.books.all()))
    assert master[0].author is master[2].author

    copy = copied(master)

    assert copy[0].author is copy[2].author is not master[0].author


def test_both_ends_of_a_one_to_one_lead_to_each_other() -> None:
    for number in range(3):
        Cover.objects.create(book=make_book(f"book {number}"), colour="red")
    masters = decoded(list(Cover.objects.select_related("book__author")))
    backwards = decoded(list(Book.objects.select_related("cover")))

    covers, books = copied(masters), copied(backwards)

    for one, master in zip(covers, masters, strict=True):
        assert one.book.cover is one is not master
        assert one.book is not master.book
        assert one.book.author.name == "Ada"
    for book, master in zip(books, backwards, strict=True):
        assert book.cover.book is book is not master
    assert same(covers, masters)
    assert same(books, backwards)


def test_folders_in_a_circle() -> None:
    one, other = Folder(name="one"), Folder(name="other")
    one.parent, other.parent = other, one

    (copy,) = copied([one])

    assert copy.parent.parent is copy is not one
    assert copy.parent.name == "other"


def test_attributes_that_can_change_are_copied_or_decoded() -> None:
    author = Author(name="Ada")
    author.notes = ["a", {"b": 1}]  # type: ignore[attr-defined]
    copy = copied([author])
    assert copy[0].notes == author.notes  # type: ignore[attr-defined]
    assert copy[0].notes[1] is not author.notes[1]  # type: ignore[attr-defined]

    author.notes = object()  # type: ignore[attr-defined]
    assert copier_for([author]) is None


def test_a_state_that_holds_more_is_decoded() -> None:
    author = Author(name="Ada")
    author._state.more = 1  # type: ignore[attr-defined]

    assert copier_for([author]) is None


def test_a_prefetched_relation_is_decoded() -> None:
    make_book()

    assert copier_for(list(Book.objects.prefetch_related("tags"))) is None


@pytest.mark.parametrize("kind", [Author, Novel, Parcel, Restaurant])
def test_plain_models(kind: type) -> None:
    assert is_plain(kind)


@pytest.mark.parametrize("kind", [Odd, Sealed, dict, object])
def test_what_copies_in_its_own_way_is_not_plain(kind: type) -> None:
    assert not is_plain(kind)


def test_marked_text_cannot_change() -> None:
    assert is_immutable(mark_safe("<b>"))
