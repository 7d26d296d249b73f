"""Cached fields of strawberry-django, asked through Django's views."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import translation

from cachekit import hooks, invalidate, uncached
from cachekit.exceptions import InvalidKey, MissingExtra
from tests.making import hearing
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book, Tag

pytest.importorskip("strawberry_django", reason="strawberry-graphql-django is not installed")

import strawberry
import strawberry_django
from strawberry.relay import ListConnection, Node
from strawberry_django.permissions import HasRetvalPerm, IsStaff

from cachekit.contrib.strawberry import CachedField
from tests.graphql import berries
from tests.graphql.asking import Visitor
from tests.graphql.berries import PLAIN, RUNS, SCHEMA

lasting = pytest.mark.django_db(transaction=True)

FRAGMENT = """
query ($no: Boolean = false) { books { ...Small stock @include(if: $no) } }
fragment Small on BookType { title }
"""


@pytest.fixture(params=["called", "awaited"])
def visitor(request: pytest.FixtureRequest, settings: Any) -> Callable[..., Visitor]:
    """`visitor(user, **headers)` is a browser before the sync or the async view."""
    settings.ROOT_URLCONF = berries.__name__
    return lambda user=None, **headers: Visitor(f"/{request.param}/", user, **headers)


@pytest.fixture(autouse=True)
def _no_runs() -> Iterator[None]:
    RUNS.clear()
    yield
    RUNS.clear()


@lasting
def test_a_list_is_kept_until_one_of_its_rows_is_written_to(visitor: Callable[..., Visitor]) -> None:
    book, somebody = make_book("one"), visitor()
    query = "{ books { title author { name } } }"

    first = somebody.ask(query)
    assert somebody.queries == 1
    Tag.objects.create(name="unrelated")
    assert visitor().ask(query) == somebody.ask(query) == first
    assert somebody.queries == 0
    Book.objects.filter(pk=book.pk).update(title="two")
    assert somebody.ask(query)["books"][0]["title"] == "two"
    Author.objects.update(name="Bob")
    assert somebody.ask(query)["books"][0]["author"]["name"] == "Bob"


@lasting
def test_other_sub_fields_are_right_when_they_are_asked_for_later(visitor: Callable[..., Visitor]) -> None:
    make_book("one", stock=7), make_book("two", stock=8)
    somebody, small, large = visitor(), "{ books { title } }", "{ books { title stock author { name } } }"

    somebody.ask(small)
    found = somebody.ask(large)["books"]

    assert [(one["stock"], bool(one["author"]["name"])) for one in found] == [(7, True), (8, True)]
    assert somebody.queries == 1, "deferred columns were asked for row by row"
    for again in (
        small,
        large,
        FRAGMENT,
    ):
        somebody.ask(again)
    somebody.ask(small), somebody.ask(large)
    assert somebody.queries == 0


@lasting
def test_arguments_are_part_of_the_key(visitor: Callable[..., Visitor]) -> None:
    make_book("one", status="draft"), make_book("two", status="sold")
    somebody = visitor()
    by_variable = "query ($status: String!) { shelf(status: $status) { title } }"

    assert somebody.ask('{ shelf(status: "sold") { title } }') == {"shelf": [{"title": "two"}]}
    assert somebody.ask(by_variable, status="sold") == {"shelf": [{"title": "two"}]}
    assert somebody.ask("{ shelf { title } }") == somebody.ask(by_variable, status="draft")
    assert RUNS == ["shelf sold", "shelf draft"]
    Book.objects.filter(status="sold").update(title="three")
    assert somebody.ask(by_variable, status="draft") == {"shelf": [{"title": "one"}]}
    assert RUNS == ["shelf sold", "shelf draft"], "the slice of another status"
    assert somebody.ask(by_variable, status="sold") == {"shelf": [{"title": "three"}]}


@lasting
def test_input_types_are_part_of_the_key(visitor: Callable[..., Visitor]) -> None:
    somebody = visitor()
    query = "query ($wanted: Wanted!) { found(wanted: $wanted) }"

    for words in (["a:b", "c"], ["a", "b:c"], ["a:b", "c"]):
        assert somebody.ask(query, wanted={"words": words}) == {"found": ["draft", *words]}

    assert len(RUNS) == 2


@lasting
def test_nobody_sees_what_was_computed_for_another_user(visitor: Callable[..., Visitor]) -> None:
    ada, bob = (User.objects.create_user(name) for name in ("ada", "bob"))
    visitors = [visitor(ada), visitor(bob), visitor(), visitor(ada), visitor()]

    assert [one.ask("{ me }")["me"] for one in visitors] == ["ada", "bob", "nobody", "ada", "nobody"]
    assert len(RUNS) == 3
    assert visitor(authorization="Token of somebody").ask("{ me }") == {"me": "nobody"}
    assert len(RUNS) == 4, "whoever shows credentials that make no user is nobody's equal"


@lasting
def test_what_depends_on_the_user_is_stale_when_the_user_changes(visitor: Callable[..., Visitor]) -> None:
    ada = User.objects.create_user("ada", is_staff=True)
    somebody, query = visitor(ada), "{ warm may }"

    assert [somebody.ask(query)["may"], somebody.ask(query)["may"]] == [[True, False]] * 2
    assert len(RUNS) == 1
    User.objects.filter(pk=ada.pk).update(is_staff=False)
    assert somebody.ask(query)["may"] == [False, False]
    ada.user_permissions.add(Permission.objects.get(codename="add_book", content_type__app_label="zoo"))
    assert somebody.ask(query)["may"] == [False, True]
    User.objects.create_user("bob")
    somebody.ask(query)
    assert len(RUNS) == 3


@lasting
@pytest.mark.parametrize("query", ["{ currency }", "{ currency(meta: true) }"])
def test_what_reads_a_header_that_is_not_named_is_not_kept(query: str, visitor: Callable[..., Visitor]) -> None:
    for currency in ("EUR", "USD", "USD"):
        assert visitor(**{"X-Currency": currency}).ask(query) == {"currency": currency}

    assert RUNS == ["currency"] * 3


@lasting
def test_what_reads_a_header_that_is_named_is_kept_for_each(visitor: Callable[..., Visitor]) -> None:
    for currency in ("EUR", "USD", "USD", "EUR"):
        assert visitor(**{"X-Currency": currency}).ask("{ price }") == {"price": currency}

    assert RUNS == ["price"] * 2


@lasting
def test_what_reads_the_session_is_not_kept(visitor: Callable[..., Visitor]) -> None:
    somebody = visitor()

    assert [somebody.ask("{ cart }"), somebody.ask("{ cart }")] == [{"cart": 0}] * 2
    assert RUNS == ["cart"] * 2


@lasting
def test_awaited_resolvers_are_kept(settings: Any) -> None:
    settings.ROOT_URLCONF = berries.__name__
    make_book("one")
    somebody = Visitor("/awaited/")

    assert [somebody.ask("{ total deep }"), somebody.ask("{ total deep }")] == [{"total": 1, "deep": 1}] * 2
    assert sorted(RUNS) == ["deep", "total"]
    make_book("two", status="sold")
    assert somebody.ask("{ total deep }") == {"total": 2, "deep": 1}
    assert sorted(RUNS) == ["deep", "total", "total"]


@lasting
def test_a_miss_of_one_parent_leaves_the_others_alone(visitor: Callable[..., Visitor]) -> None:
    ada, bob = make_author("Ada"), make_author("Bob")
    make_book("one", author=ada), make_book("two", author=bob)
    somebody, query = visitor(), "{ authors { name titles } }"

    somebody.ask(query), somebody.ask(query)
    assert sorted(RUNS) == ["titles Ada", "titles Bob"]
    make_book("three", author=bob)
    assert [one["titles"] for one in somebody.ask(query)["authors"]] == [["one"], ["two", "three"]]
    assert RUNS[2:] == ["titles Bob"]
    ada.name = "Eve"
    ada.save()
    somebody.ask(query)
    assert RUNS[3:] == ["titles Eve"]


@lasting
def test_a_field_that_fails_is_not_kept_and_takes_nothing_from_its_siblings(visitor: Callable[..., Visitor]) -> None:
    book, somebody = make_book("one"), visitor()
    query = "query ($pk: Int!) { title(pk: $pk) shelf { title } }"

    for _ in range(2):
        assert somebody.ask(query, pk=book.pk + 1) == {"title": None, "shelf": [{"title": "one"}]}
        assert somebody.errors
    assert sorted(RUNS) == ["shelf draft", "title", "title"]
    assert somebody.ask(query, pk=book.pk)["title"] == "one"


@lasting
def test_mutations_are_never_kept_nor_answered_from_the_cache(visitor: Callable[..., Visitor]) -> None:
    book, somebody = make_book("one"), visitor()
    query = "mutation ($pk: Int!, $title: String!) { rename(pk: $pk, title: $title) { title author { titles } } }"
    somebody.ask("{ authors { titles } }")

    for title in ("two", "three", "three"):
        found = somebody.ask(query, pk=book.pk, title=title)
        assert found == {"rename": {"title": title, "author": {"titles": [title]}}}

    assert RUNS.count("rename") == 3
    assert somebody.ask("{ authors { titles } }") == {"authors": [{"titles": ["three"]}]}


@lasting
def test_permissions_are_asked_around_the_cache(visitor: Callable[..., Visitor]) -> None:
    make_book("one", stock=7)
    boss = visitor(User.objects.create_user("boss", is_staff=True))

    assert [boss.ask("{ stock }"), boss.ask("{ stock }")] == [{"stock": 7}] * 2
    assert RUNS == ["stock"]
    assert visitor().ask("{ stock }") is None
    assert visitor(User.objects.create_user("other")).ask("{ stock }") is None


@lasting
def test_without_a_request_only_public_fields_are_kept() -> None:
    make_book("one")

    for _ in range(2):
        assert PLAIN.execute_sync("{ shelf { title } books { title } }").errors is None
        assert PLAIN.execute_sync('{ found(wanted: {status: "sold"}) }').data == {"found": ["sold"]}

    assert RUNS == ["shelf draft", "found sold", "shelf draft"]


@lasting
def test_a_field_has_a_tag_and_obeys_uncached(visitor: Callable[..., Visitor]) -> None:
    somebody, query = visitor(), '{ found(wanted: {status: "sold"}) }'
    somebody.ask(query)

    invalidate("graphql:tests.graphql.berries.Query.found")
    somebody.ask(query)
    with uncached():
        PLAIN.execute_sync(query)

    assert len(RUNS) == 3


def test_each_language_has_an_entry_of_its_own() -> None:
    for language in ("en", "fr", "en"):
        with translation.override(language):
            PLAIN.execute_sync('{ found(wanted: {status: "sold"}) }')

    assert len(RUNS) == 2


@lasting
def test_what_was_made_with_prefetched_rows_is_handed_out_and_not_kept() -> None:
    """Nobody knows when they were read, nor what they depend on; nor is there anything to save."""
    make_book("one")
    query = "{ authors { books { title } } }"

    with hearing(hooks.Refused) as refused:
        assert SCHEMA.execute_sync(query).data == {"authors": [{"books": [{"title": "one"}]}]}
    Book.objects.update(title="two")

    assert "prefetched" in refused[0].reason
    assert SCHEMA.execute_sync(query).data == {"authors": [{"books": [{"title": "two"}]}]}
    assert PLAIN.execute_sync(query).data == {"authors": [{"books": [{"title": "two"}]}]}


@strawberry.type
class Holder:
    size: int

    @strawberry.field(extensions=[CachedField(300, public=True)])
    def unnamed(self) -> int:
        return self.size

    @strawberry.field(extensions=[CachedField(300, public=True, key=lambda parent, info: parent.size)])
    def named(self) -> int:
        RUNS.append("named")
        return self.size


@strawberry.type
class Holders:
    @strawberry.field
    def holders(self) -> list[Holder]:
        return [Holder(size=1), Holder(size=2), Holder(size=1)]


def test_a_parent_that_is_no_model_needs_a_key() -> None:
    schema = strawberry.Schema(Holders)

    assert schema.execute_sync("{ holders { named } }").data == {"holders": [{"named": n} for n in (1, 2, 1)]}
    assert len(RUNS) == 2
    errors = schema.execute_sync("{ holders { unnamed } }").errors
    assert errors
    assert isinstance(errors[0].original_error, InvalidKey)
    assert "key=lambda" in str(errors[0])


@strawberry_django.type(Tag)
class TagNode(Node):
    name: strawberry.auto


def listed() -> list[str]:
    return []


def paged() -> list[TagNode]:
    return []


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (
            lambda: strawberry_django.field(resolver=listed, extensions=[IsStaff(), CachedField(300)]),
            "hit would not ask",
        ),
        (
            lambda: strawberry_django.field(resolver=listed, extensions=[cast("Any", CachedField)]),
            r"extensions=\[CachedField\(600\)",
        ),
        (
            lambda: strawberry_django.field(
                resolver=listed, extensions=[CachedField(300, public=True), HasRetvalPerm("x.y")]
            ),
            "public",
        ),
        (
            lambda: strawberry_django.connection(
                ListConnection[TagNode], resolver=paged, extensions=[CachedField(300)]
            ),
            "connection",
        ),
    ],
)
def test_what_would_be_wrong_is_refused_when_the_schema_is_made(make: Callable[[], Any], word: str) -> None:
    def build() -> None:
        field = make()
        strawberry.Schema(strawberry.type(type("Query", (), {"field": field, "__annotations__": {}})))

    with pytest.raises(TypeError, match=word):  # graphql-core's, with our words
        build()


@pytest.mark.parametrize(
    ("options", "error"),
    [({"timeout": -1}, ValueError), ({"vary": "user"}, TypeError), ({"public": True, "vary": ("user",)}, ValueError)],
)
def test_wrong_options_are_said_where_they_are_written(options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        CachedField(**options)


def test_without_strawberry_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "strawberry.extensions", None)
    monkeypatch.delitem(sys.modules, "cachekit.contrib.strawberry")

    with pytest.raises(MissingExtra, match=r"django-cachekit\[strawberry\]"):
        importlib.import_module("cachekit.contrib.strawberry")
