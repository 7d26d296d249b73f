"""What doors remember of keys: a hit hashes nothing, and no two different calls share an entry for it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from django.http import HttpResponse
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone, translation
from django.utils.safestring import SafeString, mark_safe

from cachekit import cached, cached_view, testing
from cachekit.core import keys
from cachekit.specs import REMEMBERED, Door, place, surroundings
from tests.zoo.models import Book

NOT_EQUAL = [1, True, 1.0, "1", b"1", None, "None", 0, False, "", b"", mark_safe("1"), uuid.UUID(int=1), (1,), (True,)]


@pytest.fixture(autouse=True)
def _one_cache(settings: Any, _isolation: None) -> None:
    settings.CACHES = {"default": settings.CACHES["default"]}
    testing.reset()


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was hashed for a key."""
    seen: list[Any] = []
    original = keys.fingerprint

    def noted(*parts: Any) -> str:
        seen.append(parts)
        return original(*parts)

    monkeypatch.setattr(keys, "fingerprint", noted)
    return seen


def until_near(ask: Callable[[], Any]) -> Any:
    """Ask until an answer comes without a round trip."""
    from cachekit.stores import store_for

    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with patch.object(type(store_for("default")), "load", side_effect=AssertionError("asked the server")):
            try:
                return ask()
            except AssertionError:
                pass
        ask()
        time.sleep(0.02)
    raise AssertionError("It never came out of the process.")


def test_calls_that_differ_in_type_only_have_entries_of_their_own() -> None:
    @cached(60, name="types")
    def told(value: Any) -> str:
        return f"{type(value).__name__} {value}"

    for _ in range(2):
        assert [told(one) for one in NOT_EQUAL] == [f"{type(one).__name__} {one}" for one in NOT_EQUAL]
    assert len({told.key_for(one) for one in NOT_EQUAL}) == len(NOT_EQUAL)


def test_a_call_has_one_key_however_it_is_made() -> None:
    @cached(60, name="ways")
    def told(one: int, other: str = "x") -> str:
        return f"{one}{other}"

    for _ in range(2):
        assert len({told.key_for(1), told.key_for(1, "x"), told.key_for(one=1), told.key_for(1, other="x")}) == 1
    assert told.key_for(1, "y") != told.key_for(1)


def test_a_second_call_hashes_nothing(hashed: list[Any]) -> None:
    @cached(60, name="hashes")
    def told(*args: Any) -> str:
        return "told"

    told(1, "a", None)
    assert hashed
    hashed.clear()

    told(1, "a", None)
    assert not hashed
    for long in ("x" * 1000, 10**500):
        told(long)
        hashed.clear()
        told(long)
        assert hashed


def test_settings_count_as_they_are_now(settings: Any) -> None:
    door = Door("function", "settings", {})
    settings.CACHEKIT = {"TIMEOUT": 5}
    spec = door.remember("key", door.spec("key"))
    assert door.remembered("key") is spec
    assert spec.policy.timeout == 5

    settings.CACHEKIT = {"TIMEOUT": 6}
    assert door.remembered("key") is None
    door.remember("key", door.spec("key"))
    testing.reset()  # another store
    assert door.remembered("key") is None
    settings.CACHEKIT = {"TENANT": f"{__name__}.tenant"}
    door.remember("key", door.spec("key"))
    assert door.remembered("key") is None


def tenant() -> str:
    return "acme"


def test_not_more_is_remembered_than_there_is_room_for() -> None:
    door = Door("function", "room", {})
    for number in range(REMEMBERED + 1):
        door.remember(number, door.spec(str(number)))

    assert door.remembered(REMEMBERED) is not None
    assert door.remembered(0) is None


def test_places_are_told_apart_as_surroundings_are() -> None:
    found = set()
    for language in ("en", "de", None):
        for zone in ("UTC", "Asia/Tokyo", timezone.get_fixed_timezone(60)):
            override = translation.override(language) if language else translation.override(None)
            with override, timezone.override(zone):
                assert place() == place()
                found.add((place(), surroundings()))
    assert len(found) == len({one for one, _ in found}) == len({other for _, other in found}) == 9
    translation.deactivate()
    timezone.deactivate()
    assert place()[0] == surroundings()[0]


SHOW = '{% load cachekit %}{% cached 60 "name" vary near=True %}{{ shown }}{% endcached %}'


def test_a_near_fragment_is_handed_out_as_it_is(hashed: list[Any]) -> None:
    template = Template(SHOW)

    def show() -> Any:
        return template.nodelist[1].render(Context({"vary": "a", "shown": "<b>"}))

    first = until_near(show)
    hashed.clear()

    assert until_near(show) is first
    assert type(first) is SafeString
    assert first == "&lt;b&gt;"
    assert not hashed


def test_fragments_vary_by_type_language_and_zone() -> None:
    template = Template(SHOW)

    def show(value: Any) -> str:
        return str(
            template.render(Context({"vary": value, "shown": f"{type(value).__name__} {value}"}, autoescape=False))
        )

    said = [show(value) for value in NOT_EQUAL * 2]
    assert said == [f"{type(one).__name__} {one}" for one in NOT_EQUAL] * 2
    for number, language in enumerate(("de", "fr", "de")):
        with translation.override(language), timezone.override("Asia/Tokyo"):
            assert template.render(Context({"vary": "place", "shown": number})) == str(number % 2)
    with timezone.override("Europe/Paris"):
        assert template.render(Context({"vary": "place", "shown": 9})) == "9"


@pytest.mark.django_db
def test_a_hit_evaluates_no_queryset(django_assert_num_queries: Any) -> None:
    source = "{% load cachekit %}{% cached 60 'books' 1 %}{% for one in rows %}{{ one }}{% endfor %}{% endcached %}"
    template = Template(source)
    template.render(Context({"rows": Book.objects.all()}))

    with django_assert_num_queries(0), testing.assert_cached():
        template.render(Context({"rows": Book.objects.all()}))


def test_pages_vary_by_what_their_url_was_made_into(rf: RequestFactory) -> None:
    @cached_view(60, vary=(lambda request: getattr(request, "folds", None), "X-Kind"))
    def told(request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse(f"{args} {kwargs} {request.folds} {request.headers.get('X-Kind')}")

    def ask(*args: Any, folds: Any = 1, kind: str = "", **kwargs: Any) -> bytes:
        request: Any = rf.get("/", headers={"X-Kind": kind} if kind else {})
        request.folds = folds
        content: bytes = told(request, *args, **kwargs).content
        return content

    def asked() -> list[bytes]:
        calls = [ask(one) for one in NOT_EQUAL] + [ask(folds=one) for one in NOT_EQUAL]
        return [*calls, ask(1, 2), ask(1, b=2), ask(a=1, b=2), ask(b=1, a=2), ask(kind="x"), ask(kind="y")]

    first = asked()
    assert asked() == first
    texts = [str((one,)) for one in NOT_EQUAL]
    assert [one.partition(b" {}")[0].decode() for one in first[: len(NOT_EQUAL)]] == texts
    assert len(set(first[-6:])) == 6
