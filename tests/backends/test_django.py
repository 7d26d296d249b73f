"""What Django builds on CACHES runs on ours: sessions, `cache_page`, `{% cache %}`, its cache middleware."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.cache import SessionStore
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from django.views.decorators.cache import cache_page

from cachekit import hooks
from tests.twins import Call

ENGINES = ["django.contrib.sessions.backends.cache", "django.contrib.sessions.backends.cached_db"]
shown: list[str] = []


def page(request: HttpRequest) -> HttpResponse:
    shown.append(request.path)
    return HttpResponse(f"page {len(shown)}")


def whoami(request: HttpRequest) -> HttpResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(f"{request.user} {request.session['visits']}")


urlpatterns = [
    path("page/", cache_page(60)(page)),
    path("plain/", page),
    path("whoami/", whoami),
]


@pytest.fixture(params=["default", "memory"], ids=["redis", "memory"])
def chosen(request: pytest.FixtureRequest, settings: Any) -> Iterator[str]:
    """The alias that Django's machinery uses."""
    settings.ROOT_URLCONF = __name__
    settings.SESSION_CACHE_ALIAS = settings.CACHE_MIDDLEWARE_ALIAS = request.param
    caches[request.param].clear()
    shown.clear()
    yield request.param
    caches[request.param].clear()


@pytest.mark.usefixtures("db", "chosen")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_session_lives_in_the_cache(settings: Any, client: Client, engine: str) -> None:
    settings.SESSION_ENGINE = engine
    client.force_login(User.objects.create_user("ada"))

    assert client.get("/whoami/").content == b"ada 1"
    assert client.get("/whoami/").content == b"ada 2"
    client.logout()
    assert client.get("/whoami/").content == b"AnonymousUser 1"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize("engine", ENGINES)
async def test_a_session_lives_in_the_cache_awaited(settings: Any, async_client: AsyncClient, engine: str) -> None:
    settings.SESSION_ENGINE = engine
    await async_client.aforce_login(await User.objects.acreate_user("ada"))

    assert (await async_client.get("/whoami/")).content == b"ada 1"
    assert (await async_client.get("/whoami/")).content == b"ada 2"


@pytest.mark.usefixtures("chosen")
def test_a_session_store(call: Call) -> None:
    session = SessionStore()
    call(session.create)
    session["k"] = 1
    call(session.save)
    key = session.session_key

    assert call(SessionStore(key).load) == {"k": 1}
    assert call(SessionStore().exists, key) is True
    call(session.delete)
    assert call(SessionStore().exists, key) is False


@pytest.mark.usefixtures("chosen")
def test_cache_page(client: Client) -> None:
    first, second = client.get("/page/"), client.get("/page/")

    assert first.content == second.content == b"page 1"
    assert client.get("/page/?other").content == b"page 2"
    assert client.head("/page/").status_code == 200


@pytest.mark.usefixtures("chosen")
async def test_cache_page_awaited(async_client: AsyncClient) -> None:
    first, second = await async_client.get("/page/"), await async_client.get("/page/")

    assert first.content == second.content == b"page 1"


@pytest.mark.usefixtures("chosen")
def test_the_cache_middleware(settings: Any, client: Client) -> None:
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]

    assert client.get("/plain/").content == client.get("/plain/").content == b"page 1"


def test_the_cache_tag(chosen: str) -> None:
    source = '{% load cache %}{% cache 60 side vary using="' + chosen + '" %}{{ value }}{% endcache %}'
    template = Template(source)

    def rendered(value: int, vary: str = "a") -> str:
        return template.render(Context({"value": value, "vary": vary}))

    assert [rendered(1), rendered(2), rendered(3, "b")] == ["1", "1", "3"]


@pytest.mark.usefixtures("db")
def test_what_django_stores_is_counted_by_its_maker(
    settings: Any, client: Client, lookups: list[hooks.Lookup], chosen: str
) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    client.get("/page/")
    client.get("/page/")
    client.get("/whoami/")
    client.get("/whoami/")
    Template("{% load cache %}{% cache 60 side %}{% endcache %}").render(Context())

    counted = {(lookup.name, lookup.result) for lookup in lookups if lookup.door == "backend"}
    assert counted >= {("cache_page", "miss"), ("cache_page", "hit"), ("sessions", "hit"), ("{% cache %}", "miss")}


def test_a_response_pickles(cache: Any) -> None:
    response = cache_page(60)(page)(RequestFactory().get("/plain/"))
    cache.set("response", response)

    assert cache.get("response").content == response.content
