"""Cached resolvers of graphene-django, asked through Django's view; awaited ones by the schema."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from cachekit import invalidate
from cachekit.exceptions import MissingExtra, UncacheableValue
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Book, Tag

pytest.importorskip("graphene_django", reason="graphene-django is not installed")

from cachekit.contrib.graphene import cached_resolver
from tests.graphql import graphenes
from tests.graphql.asking import Visitor
from tests.graphql.graphenes import RUNS, SCHEMA

lasting = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _schema(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = graphenes.__name__
    RUNS.clear()
    yield
    RUNS.clear()


@lasting
def test_a_list_is_kept_until_one_of_its_rows_is_written_to() -> None:
    make_book("one"), make_book("two", status="sold")
    somebody, query = Visitor("/called/"), "query ($status: String) { books(status: $status) { title } }"

    for status in ("draft", "sold", "draft", "sold"):
        somebody.ask(query, status=status)
    assert RUNS == ["books draft", "books sold"]
    Tag.objects.create(name="unrelated")
    Book.objects.filter(status="sold").update(title="three")
    assert somebody.ask(query, status="draft") == {"books": [{"title": "one"}]}
    assert RUNS == ["books draft", "books sold"]
    assert somebody.ask(query, status="sold") == {"books": [{"title": "three"}]}


@lasting
def test_other_sub_fields_are_right_and_nobody_sees_what_a_type_hides() -> None:
    make_book("one", status="secret", stock=7)
    staff, other = Visitor("/called/", User.objects.create_user("boss", is_staff=True)), Visitor("/called/")
    query = '{ books(status: "secret") { title %s } }'

    assert staff.ask(query % "") == {"books": [{"title": "one"}]}
    assert staff.ask(query % "stock author { name }")["books"][0]["stock"] == 7
    assert other.ask(query % "") == {"books": []}


@lasting
def test_nobody_sees_what_was_computed_for_another_user() -> None:
    ada, bob = (User.objects.create_user(name) for name in ("ada", "bob"))
    visitors = [Visitor("/called/", user) for user in (ada, bob, None, ada, None)]

    assert [one.ask("{ me }")["me"] for one in visitors] == ["ada", "bob", "nobody", "ada", "nobody"]
    assert len(RUNS) == 3


@lasting
def test_a_miss_of_one_parent_and_an_error_take_nothing_from_the_others() -> None:
    ada, bob = make_author("Ada"), make_author("Bob")
    make_book("one", author=ada), make_book("two", author=bob)
    somebody, query = Visitor("/called/"), "{ authors { titles } title(pk: 0) }"

    somebody.ask(query), somebody.ask(query)
    assert RUNS == ["titles Ada", "titles Bob", "title", "title"]
    assert somebody.errors
    make_book("three", author=bob)
    assert somebody.ask(query)["authors"] == [{"titles": ["one"]}, {"titles": ["two", "three"]}]
    assert RUNS[4:] == ["titles Bob", "title"]
    assert invalidate("graphql:tests.graphql.graphenes.AuthorType.resolve_titles")
    somebody.ask(query)
    assert RUNS[6:] == ["titles Ada", "titles Bob", "title"]


@lasting
def test_mutations_are_never_kept_nor_answered_from_the_cache() -> None:
    book, somebody = make_book("one"), Visitor("/called/")
    query = "mutation ($pk: Int!, $title: String!) { rename(pk: $pk, title: $title) { author { titles } } }"
    somebody.ask("{ authors { titles } }")

    for title in ("two", "three", "three"):
        assert somebody.ask(query, pk=book.pk, title=title) == {"rename": {"author": {"titles": [title]}}}

    assert RUNS.count("rename") == 3
    assert somebody.ask("{ authors { titles } }") == {"authors": [{"titles": ["three"]}]}


@lasting
async def test_awaited_resolvers_are_kept() -> None:
    await Tag.objects.acreate(name="unrelated")

    found = [(await SCHEMA.execute_async("{ total }")).data for _ in range(2)]

    assert found == [{"total": 0}] * 2
    assert RUNS == ["total"]


def test_how_it_is_written_wrong_is_said() -> None:
    with pytest.raises(TypeError, match=r"cached_resolver\(600\)"):
        cached_resolver(lambda parent, info: None)
    with pytest.raises(UncacheableValue, match="below @staticmethod"):
        cached_resolver(300)(staticmethod(lambda parent, info: None))
    with pytest.raises(TypeError, match=r"vary=\('user',\)"):
        cached_resolver(300, vary="user")


def test_without_graphene_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphene", None)
    monkeypatch.delitem(sys.modules, "cachekit.contrib.graphene")

    with pytest.raises(MissingExtra, match=r"django-cachekit\[graphene\]"):
        importlib.import_module("cachekit.contrib.graphene")
