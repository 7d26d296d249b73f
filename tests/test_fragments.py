"""Rows that a view has read before a fragment begins: the fragment shows what the database has then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.paginator import Paginator
from django.template import Context, Template

from tests.zoo.builders import make_book
from tests.zoo.models import Book

pytestmark = pytest.mark.django_db(transaction=True)

ONE = "{% load cachekit %}{% cached 60 'card' 1 %}{{ book.title }}{{ book.mark }}{% endcached %}"
MANY = "{% load cachekit %}{% cached 60 'list' %}{% for one in books %}{{ one.title }} {% endfor %}{% endcached %}"


def shown(source: str, **values: Any) -> str:
    return Template(source).render(Context(values)).strip()


def rename(pk: int, title: str) -> None:
    Book.objects.filter(pk=pk).update(title=title)


def evaluated() -> Any:
    found = Book.objects.order_by("pk")
    assert len(found)
    return found


READS: dict[str, Callable[[], Any]] = {
    "list": lambda: list(Book.objects.order_by("pk")),
    "evaluated queryset": evaluated,
    "sliced": lambda: list(evaluated()[:5]),
    "tuple": lambda: tuple(Book.objects.order_by("pk")),
}


def test_what_is_written_between_a_views_read_and_its_fragment_is_shown() -> None:
    book = make_book("old")
    rename(book.pk, "new")

    assert shown(ONE, book=book) == "new"
    assert book.title == "old"


def test_a_write_to_the_row_makes_it_stale_and_no_tag_need_be_named(django_assert_num_queries: Any) -> None:
    book = make_book("old")
    assert shown(ONE, book=book) == "old"
    with django_assert_num_queries(0):
        assert shown(ONE, book=book) == "old"

    rename(book.pk, "new")

    assert shown(ONE, book=Book.objects.get(pk=book.pk)) == "new"


@pytest.mark.parametrize("kind", READS)
def test_lists_and_evaluated_querysets_too(kind: str, django_assert_num_queries: Any) -> None:
    first, second = make_book("one"), make_book("two")
    books = READS[kind]()
    rename(first.pk, "uno")

    assert shown(MANY, books=books) == "uno two"

    with django_assert_num_queries(0):
        assert shown(MANY, books=books) == "uno two"
    rename(second.pk, "due")
    assert shown(MANY, books=READS[kind]()) == "uno due"


def test_a_lazy_queryset_is_asked_once(django_assert_num_queries: Any) -> None:
    make_book("one")
    with django_assert_num_queries(1):
        assert shown(MANY, books=Book.objects.all()) == "one"


def test_what_hangs_on_an_instance_goes_with_it() -> None:
    book: Any = make_book("old")
    book.mark = "!"
    rename(book.pk, "new")

    assert shown(ONE, book=book) == "new!"


def test_one_without_a_row_is_shown_and_not_kept() -> None:
    for title in ("one", "two"):
        assert shown(ONE, book=Book(title=title)) == title


def test_pages_of_a_paginator_are_as_lazy_as_their_queryset() -> None:
    book = make_book("old")
    page = Paginator(Book.objects.order_by("pk"), 10).page(1)
    rename(book.pk, "new")

    assert shown(MANY, books=page) == "new"


def test_plain_values_are_shown_as_they_are() -> None:
    assert shown(ONE, book={"title": "plain"}) == "plain"
    assert shown(MANY, books=[{"title": "a"}, {"title": "b"}]) == "a b"
    assert shown("{% load cachekit %}{% cached 60 'g' %}{{ g.name }}{% endcached %}", g=Group(name="n")) == "n"
