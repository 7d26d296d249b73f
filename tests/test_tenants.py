"""Tenants: what one of them has read and written is nothing to another, and what they share is everybody's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import RequestFactory, override_settings

from cachekit import cached, cached_query, cached_view, checks, hooks, invalidate, tenants
from cachekit.core import tags
from cachekit.exceptions import InvalidTag
from cachekit.tenants import tenant
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book

pytestmark = pytest.mark.django_db(transaction=True)
NOW: list[Any] = [None]


def named() -> Any:
    return NOW[0]


@pytest.fixture(autouse=True)
def _tenants(settings: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    settings.CACHES = {"default": settings.CACHES[getattr(request, "param", "memory")]}
    settings.CACHEKIT = {**settings.CACHEKIT, "TENANT": "tests.test_tenants.named"}
    yield
    NOW[0] = None


in_memory_and_on_redis = pytest.mark.parametrize("_tenants", ["memory", "default"], indirect=True)


def results(read: Callable[[], Any]) -> list[str]:
    """Tell how reads were answered: hit, miss, ..."""
    seen: list[str] = []
    hooks.subscribe(hooks.Lookup, listener := (lambda event: seen.append(event.result)))
    try:
        read()
    finally:
        hooks.unsubscribe(hooks.Lookup, listener)
    return seen


@cached(600)
def whose() -> str:
    return str(NOW[0])


@cached(600, tags=("homepage",))
def front() -> str:
    return str(NOW[0])


@cached(600)
def titles() -> list[str]:
    return list(Book.objects.order_by("pk").values_list("title", flat=True))


@cached(600)
def title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


@cached(600)
def names() -> list[str]:
    return list(Author.objects.order_by("pk").values_list("name", flat=True))


@cached_view(600)
def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(NOW[0]))


def fragment() -> str:
    text = "{% load cachekit %}{% cached 600 'whose' %}{{ name }}{% endcached %}"
    return Template(text).render(Context({"name": NOW[0]}))


def answer() -> bytes:
    return page(RequestFactory().get("/")).content


DOORS: dict[str, Callable[[], Any]] = {
    "function": whose,
    "view": lambda: answer().decode(),
    "fragment": fragment,
}


@in_memory_and_on_redis
@pytest.mark.parametrize("door", DOORS)
def test_no_tenant_sees_anothers_values(door: str) -> None:
    read = DOORS[door]
    for name in ("acme", "bolt", "", None, "acme"):
        NOW[0] = name
        assert read() == str(name or read())
        assert results(read) == ["hit"]

    NOW[0] = "acme"
    assert read() == "acme"
    NOW[0] = "bolt"
    assert read() == "bolt"


def test_querysets_are_kept_for_each_tenant() -> None:
    make_author("Ada")
    for name in ("acme", "bolt"):
        NOW[0] = name
        assert results(lambda: cached_query(Author.objects.all())) == ["miss"]
        assert results(lambda: cached_query(Author.objects.all())) == ["hit"]


def both(read: Callable[[], Any]) -> list[str]:
    """Read for acme, for bolt and for nobody; tell how each was answered."""
    found = []
    for name in ("acme", "bolt", None):
        with tenant(name):
            found += results(read)
    return found


@in_memory_and_on_redis
def test_a_write_for_one_is_nothing_to_another_but_whoever_reads_for_none_hears_of_it() -> None:
    book = make_book("old")
    both(titles)
    both(lambda: title(book.pk))

    NOW[0] = "acme"
    Book.objects.filter(pk=book.pk).update(title="new")

    assert both(titles) == ["stale", "hit", "stale"]
    assert both(lambda: title(book.pk)) == ["stale", "hit", "stale"]


@in_memory_and_on_redis
def test_a_write_for_none_is_heard_by_all() -> None:
    book = make_book("old")
    both(titles)
    both(lambda: title(book.pk))

    Book.objects.filter(pk=book.pk).update(title="new")

    assert both(titles) == ["stale"] * 3
    assert both(lambda: title(book.pk)) == ["stale"] * 3


def test_tables_that_are_shared_know_no_tenant(settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "SHARED": ("zoo.Author",)}
    make_book("old")
    both(names)
    both(titles)

    NOW[0] = "acme"
    Author.objects.update(name="new")

    assert both(names) == ["stale"] * 3
    assert both(titles) == ["hit"] * 3


def test_a_transaction_is_told_for_the_tenants_that_wrote_in_it() -> None:
    make_book("old")
    both(titles)
    both(names)

    with transaction.atomic():
        with tenant("acme"):
            Book.objects.update(title="new")
        with tenant("bolt"):
            Author.objects.update(name="new")

    assert both(titles) == ["stale", "hit", "stale"]
    assert both(names) == ["hit", "stale", "stale"]


def test_own_writes_are_read_in_the_transaction() -> None:
    make_book("old")
    both(titles)

    with transaction.atomic():
        with tenant("acme"):
            Book.objects.update(title="new")
            assert titles() == ["new"]
        with tenant(None):
            assert titles() == ["new"]


@pytest.mark.parametrize(
    ("tag", "stale"),
    [
        ("*", "abn"),
        ("db:default", "abn"),
        ("[acme]*", "a"),
        ("[acme]zoo.Book", "an"),
        ("zoo.book", "abn"),
        ("[*]zoo.book", "ab"),
        ("function:tests.test_tenants.titles", "abn"),
        ("[bolt]function:tests.test_tenants.titles", "b"),
    ],
)
def test_a_tag_names_one_tenant_or_all(tag: str, stale: str) -> None:
    make_book()
    both(titles)

    invalidate(tag)

    assert both(titles) == ["stale" if one in stale else "hit" for one in "abn"]


@in_memory_and_on_redis
def test_free_tags_belong_to_who_says_them() -> None:
    both(front)
    with tenant("acme"):
        invalidate("homepage")
    assert both(front) == ["stale", "hit", "hit"]

    invalidate("homepage")
    assert both(front) == ["stale"] * 3


def test_one_call_of_a_function_is_forgotten_for_its_tenant() -> None:
    book = make_book()
    both(lambda: title(book.pk))

    with tenant("acme"):
        title.invalidate(book.pk)

    assert both(lambda: title(book.pk)) == ["stale", "hit", "hit"]


@in_memory_and_on_redis
def test_instances_are_invalidated_for_their_tenant() -> None:
    book = make_book()
    both(lambda: title(book.pk))

    with tenant("bolt"):
        invalidate(book)

    assert both(lambda: title(book.pk)) == ["hit", "stale", "stale"]


def test_statistics_know_no_tenants() -> None:
    seen: set[tuple[str, str]] = set()
    hooks.subscribe(hooks.Lookup, listener := (lambda event: seen.add((event.door, event.name))))
    try:
        both(whose)
    finally:
        hooks.unsubscribe(hooks.Lookup, listener)

    assert seen == {("function", "tests.test_tenants.whose")}


@pytest.mark.parametrize("name", ["a b", "x" * 64, "a:b", "[a]", 7, "*"])
def test_a_name_that_cannot_be_one_is_refused(name: Any) -> None:
    NOW[0] = name

    with pytest.raises(ImproperlyConfigured, match="A tenant's name has 1 to 63 letters"):
        whose()


@pytest.mark.parametrize("path", ["nowhere.at.all", "tests.test_tenants.NOW"])
def test_a_callable_that_is_none_is_a_check(path: str) -> None:
    with override_settings(CACHEKIT={"TENANT": path}):
        (error,) = checks.check_tenant(app_configs=None)

        assert error.id == "cachekit.E006"
        with pytest.raises(ImproperlyConfigured, match="names"):
            tenants.current()


def test_databases_and_tables_without_models_have_no_tenants() -> None:
    for tag in ("[acme]db:default", "[acme]table:x", "[acme][bolt]x"):
        with pytest.raises(InvalidTag, match="belongs to no tenant"):
            tags.parse(tag)


@pytest.mark.postgres
def test_schemas_of_postgresql_are_kept_apart() -> None:
    """As django-tenants does it: one schema a tenant, chosen by the search path."""
    for name in ("acme", "bolt"):
        _say(f"CREATE SCHEMA IF NOT EXISTS {name}")
        _say(f"CREATE TABLE {name}.zoo_author (LIKE public.zoo_author INCLUDING ALL)")
        _say(f"INSERT INTO {name}.zoo_author (name, email) VALUES ('{name}', '')")
    try:
        for name in ("acme", "bolt", "acme"):
            with _in_schema(name):
                assert names() == [name]
        with _in_schema("acme"):
            Author.objects.update(name="new")
            assert names() == ["new"]
        with _in_schema("bolt"):
            assert results(names) == ["hit"]
            _say("UPDATE acme.zoo_author SET name = 'newer'")  # by raw SQL, in another's schema
        with _in_schema("acme"):
            assert names() == ["newer"]
    finally:
        for name in ("acme", "bolt"):
            _say(f"DROP SCHEMA {name} CASCADE")


def _say(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


class _in_schema:  # noqa: N801 - read as a word
    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        _say(f"SET search_path = {self.name}, public")
        NOW[0] = self.name

    def __exit__(self, *_: object) -> None:
        _say("RESET search_path")
        NOW[0] = None
