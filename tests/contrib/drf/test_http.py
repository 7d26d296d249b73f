"""Entity tags, dates, 304: a client is told that nothing changed only where nothing did."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import translation

from cachekit import invalidate
from cachekit.stores import store_for
from tests.contrib.drf.answers import CALLS
from tests.contrib.drf.conftest import Ask, seen
from tests.zoo.builders import make_book
from tests.zoo.models import Book

pytestmark = pytest.mark.django_db(transaction=True)


def test_who_has_an_answer_is_told_so_without_computing(ask: Ask, django_assert_num_queries: Any) -> None:
    book = make_book("a")
    first = ask(f"books/{book.pk}/")
    etag = first["ETag"]

    with django_assert_num_queries(0):
        for wanted in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            response = ask(f"books/{book.pk}/", if_none_match=wanted)
            assert (response.status_code, response.content) == (304, b"")
            assert response["ETag"] == etag
            assert response["Cache-Control"] == first["Cache-Control"]
            assert response["Vary"] == first["Vary"]
        assert ask(f"books/{book.pk}/", if_none_match='"other"').content == first.content
        head = ask(f"books/{book.pk}/", method="head", if_none_match=etag)
    assert head.status_code == 304


def test_a_changed_answer_has_another_tag_and_the_same_one_the_same(ask: Ask) -> None:
    book = make_book("a")
    etag = ask(f"books/{book.pk}/")["ETag"]

    Book.objects.filter(pk=book.pk).update(title="b")
    changed = ask(f"books/{book.pk}/", if_none_match=etag)
    Book.objects.filter(pk=book.pk).update(title="a")

    assert (changed.status_code, changed.json()["title"]) == (200, "b")
    assert changed["ETag"] != etag
    assert ask(f"books/{book.pk}/", if_none_match=etag).status_code == 304


def test_a_miss_is_told_so_too(ask: Ask) -> None:
    book = make_book("a")
    etag = ask(f"books/{book.pk}/")["ETag"]
    book.save()

    response = ask(f"books/{book.pk}/", if_none_match=etag)

    assert (response.status_code, seen(response)) == (304, "MISS")


def test_users_with_unlike_answers_have_unlike_tags(ask: Ask, alice: User, bob: User) -> None:
    etag = ask("mine/", alice)["ETag"]

    assert ask("mine/", alice, if_none_match=etag).status_code == 304
    assert ask("mine/", bob, if_none_match=etag).status_code == 200


def test_head_and_get_are_one_answer(ask: Ask) -> None:
    make_book("a")

    head = ask("books/", method="head")

    assert (head.content, seen(head)) == (b"", "MISS")
    assert seen(ask("books/")) == "HIT"
    assert ask("books/").json()["count"] == 1
    assert ask("books/", method="head")["Content-Length"] == str(len(ask("books/").content))


class Clock:
    """A clock that is set by hand."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def test_dates_count_where_they_prove_something(ask: Ask, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CACHES = {"default": {"BACKEND": "cachekit.backends.MemoryCache", "LOCATION": "dated"}}
    clock = Clock(2_000_000_000.2)
    monkeypatch.setattr(store_for("default"), "_clock", clock)
    book = make_book("a")
    where = f"books/{book.pk}/"
    answers = [ask(where), ask(where)]

    assert not any("Last-Modified" in one for one in answers)  # something may still happen in this second
    clock.seconds += 0.3
    book.save()
    answers = [ask(where), ask(where)]
    assert not any("Last-Modified" in one for one in answers)
    clock.seconds += 1
    invalidate("something-else")
    dated = ask(where)
    assert dated["Last-Modified"] == "Wed, 18 May 2033 03:33:20 GMT"
    assert ask(where, if_modified_since=dated["Last-Modified"]).status_code == 304
    for other in ("Wed, 18 May 2033 03:33:19 GMT", "Wed, 18 May 2033 03:33:21 GMT", "yesterday"):
        assert ask(where, if_modified_since=other).status_code == 200
    tagged = ask(where, if_modified_since=dated["Last-Modified"], if_none_match='"other"')
    assert tagged.status_code == 200  # who sends both is answered by the tag
    with translation.override("nl"):
        ask(where)
        assert ask(where, if_modified_since=dated["Last-Modified"]).status_code == 200
    book.save()
    assert ask(where, if_modified_since=dated["Last-Modified"]).status_code == 200


def test_an_answer_of_ones_own_has_no_date(
    ask: Ask, settings: Any, monkeypatch: pytest.MonkeyPatch, alice: User
) -> None:
    settings.CACHES = {"default": {"BACKEND": "cachekit.backends.MemoryCache", "LOCATION": "own"}}
    clock = Clock(2_000_000_000.2)
    monkeypatch.setattr(store_for("default"), "_clock", clock)
    ask("mine/", alice)
    clock.seconds += 2
    invalidate("something-else")

    response = ask("mine/", alice)

    assert seen(response) == "HIT"
    assert "Last-Modified" not in response


def test_an_answer_that_was_overtaken_is_to_be_kept_by_nobody(ask: Ask) -> None:
    make_book("old")

    first, second = ask("racing/"), ask("racing/")

    assert [seen(first), seen(second)] == ["MISS", "MISS"]
    assert "no-store" in first["Cache-Control"]
    assert second.json() == ["title 1"]


def test_clients_may_be_told_for_how_long(ask: Ask, alice: User) -> None:
    assert ask("aged/", alice)["Cache-Control"] == "private, max-age=30"
    assert ask("controlled/", alice)["Cache-Control"] == "max-age=5, private"
    assert len(CALLS) == 2
    assert ask("tagged/")["ETag"] == '"mine"'
    assert ask("tagged/", if_none_match='"mine"').status_code == 304
