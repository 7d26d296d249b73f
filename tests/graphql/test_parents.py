"""A parent was read before anybody took a read point: what is made with it is kept only if the row is still so."""

from __future__ import annotations

import pytest
from django.db.models import Count

pytest.importorskip("graphql", reason="graphql-core is not installed")

from cachekit.contrib.graphql.parents import doubt
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book, Parcel

pytestmark = pytest.mark.django_db


def test_a_parent_as_the_database_says_raises_no_doubt() -> None:
    make_book("one")

    assert doubt(Book.objects.get()) == ""
    assert doubt(Book.objects.only("title").get()) == ""
    assert doubt(Book.objects.select_related("author").get()) == ""
    assert doubt(Author.objects.get().books.get()) == ""


def test_a_parent_that_was_written_to_since_raises_doubt() -> None:
    make_book("one", author=make_author("Ada"))
    plain, related = Book.objects.get(), Book.objects.select_related("author").get()

    Author.objects.update(name="Bob")
    assert doubt(plain) == ""
    assert "a zoo.Author, has changed" in doubt(related)
    Book.objects.update(title="two")
    assert "a zoo.Book, has changed" in doubt(plain)
    Book.objects.all().delete()
    assert "has changed" in doubt(plain)
    assert "has changed" in doubt(Parcel(weight=1))


def test_a_parent_with_more_than_its_columns_raises_doubt() -> None:
    make_book("one")

    assert "books_here" in doubt(Author.objects.annotate(books_here=Count("books")).get())
    assert "prefetched" in doubt(Author.objects.prefetch_related("books").get())
