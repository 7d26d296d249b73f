"""`PublicPages` answers before all other middleware what the view would have answered, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.test import AsyncClient, Client
from django.urls import path
from django.utils import timezone, translation

from cachekit import cached_view, invalidate, testing, uncached
from cachekit.core.copies import NotCopied
from cachekit.core.steps import Invalidate
from cachekit.near import near_for
from cachekit.responses import Responses, another, is_pristine
from cachekit.stores import store_for
from tests.zoo.builders import make_book
from tests.zoo.models import Book

INSIDE: list[str] = []
public = cached_view(600, near=True, public=True)


def inside(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Note what comes past the first middleware, and do what requests ask for."""

    def middleware(request: HttpRequest) -> HttpResponse:
        INSIDE.append(request.path)
        if "zone" in request.path:
            with timezone.override(request.headers.get("X-Zone", "UTC")):
                return get_response(request)
        if "tongue" in request.path:
            with translation.override(request.headers.get("X-Tongue", "en")):
                return get_response(request)
        response = get_response(request)
        response["X-Inside"] = "yes"
        for name in ("Set-Cookie", "Cache-Control", "Vary"):
            if name in request.GET:
                response[name] = request.GET[name]
        return response

    return middleware


@public
def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"Hello {request.user}, {request.GET.urlencode()}, {request.get_host()}")


@public
def tongue(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{translation.get_language()} {timezone.get_current_timezone_name()}")


@public
def titles(request: HttpRequest) -> HttpResponse:
    return HttpResponse(", ".join(Book.objects.values_list("title", flat=True)))


@public
async def awaited(request: HttpRequest) -> HttpResponse:
    return HttpResponse("awaited")


@public
def form(request: HttpRequest) -> HttpResponse:
    return HttpResponse(get_token(request))


def counter(request: HttpRequest) -> HttpResponse:
    INSIDE.append("counted")
    return hello(request)


@cached_view(600, near=True)
def undeclared(request: HttpRequest) -> HttpResponse:
    return HttpResponse("undeclared")


@cached_view(600, near=True, public=True, vary=("X-Kind",))
def kinds(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.headers.get("X-Kind", "none"))


VIEWS = (hello, tongue, titles, awaited, form, counter, undeclared, kinds)
urlpatterns = [
    *(path(f"{view.__name__}/", view) for view in VIEWS),
    path("zone/", tongue),
]


@pytest.fixture(autouse=True)
def _site(settings: Any, _isolation: None) -> None:
    settings.ROOT_URLCONF = __name__
    settings.ALLOWED_HOSTS = [".example.com", "testserver"]
    settings.MIDDLEWARE = ["cachekit.middleware.PublicPages", f"{__name__}.inside", *settings.MIDDLEWARE]
    settings.CACHES = {"default": settings.CACHES["default"]}
    testing.reset()
    INSIDE.clear()


def ask(client: Client, where: str = "/hello/", **more: Any) -> tuple[Any, bool]:
    """Return an answer, and whether it came from the first middleware."""
    before = len(INSIDE)
    response = client.get(where, **more)
    return response, len(INSIDE) == before


def early(client: Client, where: str = "/hello/", **more: Any) -> Any:
    """Ask until the first middleware answers."""
    deadline = time.monotonic() + 20
    while True:
        response, was_early = ask(client, where, **more)
        if was_early:
            return response
        assert time.monotonic() < deadline
        time.sleep(0.02)


def settled(client: Client, where: str = "/hello/", **more: Any) -> None:
    """Ask so often that the first middleware would answer by now, if it ever did."""
    early(client)
    never(client, where, **more)


def never(client: Client, where: str = "/hello/", **more: Any) -> None:
    """Ask as often as it takes to answer early, with a mirror that has been proven."""
    for _ in range(6):
        assert not ask(client, where, **more)[1]
        near, deadline = near_for("default"), time.monotonic() + 20
        while near is not None and near.mirror.until < time.monotonic() < deadline:
            time.sleep(0.01)


def test_it_answers_what_the_middlewares_inside_have_made_of_the_page(client: Client) -> None:
    first, was_early = ask(client)
    assert not was_early

    again = early(client)

    assert (again.status_code, again.content, again.reason_phrase) == (200, first.content, first.reason_phrase)
    assert dict(again.headers) == dict(first.headers)
    assert again.headers["X-Inside"] == "yes"
    assert not again.cookies


@pytest.mark.django_db(transaction=True)
def test_a_change_is_seen(client: Client) -> None:
    book = make_book("old")
    assert early(client, "/titles/").content == b"old"

    book.title = "new"
    book.save()

    assert client.get("/titles/").content == b"new"


def test_what_another_process_invalidates_is_seen(client: Client) -> None:
    early(client)

    store_for("default").do(Invalidate(("view:" + f"{__name__}.hello",)))

    deadline = time.monotonic() + 20
    while ask(client)[1]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.django_db(transaction=True)
def test_nobody_is_shown_anothers_page(client: Client) -> None:
    alice, bob = Client(), Client()
    alice.force_login(User.objects.create_user("alice"))
    bob.force_login(User.objects.create_user("bob"))
    early(client)

    for _ in range(3):
        assert b"Hello alice" in client_says(alice)
        assert b"Hello AnonymousUser" in ask(client)[0].content
        assert b"Hello bob" in client_says(bob)
        assert b"Hello AnonymousUser" in early(Client()).content


def client_says(client: Client) -> bytes:
    response, was_early = ask(client)
    assert not was_early
    found: bytes = response.content
    return found


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "anything=1"},
        {"Authorization": "Bearer x"},
        {"Range": "bytes=0-1"},
        {"If-None-Match": "x"},
        {"If-Modified-Since": "Mon, 23 Nov 2026 01:00:00 GMT"},
        {"Host": "www.example.com"},
    ],
    ids=str,
)
def test_other_requests_pass_by(headers: dict[str, str], client: Client) -> None:
    early(client)

    assert not ask(client, headers=headers)[1]


def test_other_methods_and_users_of_the_server_pass_by(client: Client) -> None:
    early(client)

    before = len(INSIDE)
    client.post("/hello/")
    client.head("/hello/")
    assert len(INSIDE) == before + 2
    assert not ask(client, REMOTE_USER="alice")[1]
    assert not ask(client, secure=True)[1]
    assert not ask(client, "/hello/?page=2")[1]
    assert client.get("/hello/", headers={"Host": "elsewhere.org"}).status_code == 400


def test_hosts_and_queries_have_pages_of_their_own(client: Client) -> None:
    for host in ("a.example.com", "b.example.com"):
        for query in ("x=1", "x=2"):
            found = early(client, f"/hello/?{query}", headers={"Host": host}).content
            assert found == f"Hello AnonymousUser, {query}, {host}".encode()


@pytest.mark.parametrize(
    "query", ["Set-Cookie=a%3D1", "Cache-Control=private", "Cache-Control=no-store", "Vary=*"], ids=str
)
def test_what_is_not_to_be_shared_is_not_kept(query: str, client: Client) -> None:
    settled(client, f"/hello/?{query}")


@pytest.mark.parametrize("where", ["/form/", "/counter/", "/undeclared/"])
def test_views_that_do_more_or_have_not_been_declared_are_always_asked(where: str, client: Client) -> None:
    settled(client, where)


def test_headers_named_in_vary_are_told_apart(client: Client) -> None:
    for kind in ("one", "two", "one"):
        assert early(client, "/kinds/", headers={"X-Kind": kind}).content == kind.encode()
    assert early(client, "/hello/?Vary=X-Other", headers={"X-Other": "1"})
    assert not ask(client, "/hello/?Vary=X-Other", headers={"X-Other": "2"})[1]


def test_languages_are_told_apart(client: Client, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    client = Client()
    with translation.override("en"):
        for language in ("de", "fr", "de"):
            found = early(client, "/kinds/", headers={"Accept-Language": language})
            assert found.headers["Content-Language"] == language
            translation.activate("en")


@pytest.mark.parametrize(("where", "header"), [("/zone/", {"X-Zone": "Asia/Tokyo"}), ("/tongue/", {"X-Tongue": "nl"})])
def test_a_place_that_does_not_follow_from_the_request_is_left_to_the_view(
    where: str, header: dict[str, str], client: Client
) -> None:
    settled(client, where, headers=header)


def test_what_computes_is_left_alone(client: Client, settings: Any) -> None:
    early(client)
    with uncached():
        assert not ask(client)[1]
    for more in ({"AUDIT": 1}, {"SHADOW": True}, {"ENABLED": False}, {"TENANT": "tests.near.test_public_pages.tenant"}):
        settings.CACHEKIT = more
        never(client)
    settings.CACHEKIT = {}
    settings.DISALLOWED_USER_AGENTS = ["bad"]
    assert not any(ask(client)[1] for _ in range(3))


def tenant() -> str:
    return ""


def test_hits_are_counted(client: Client) -> None:
    early(client)

    def hits() -> bool:
        with testing.assert_cached():
            return ask(client)[1]

    deadline = time.monotonic() + 20
    while not hits():
        assert time.monotonic() < deadline


def test_the_debug_header_stays(client: Client, settings: Any) -> None:
    settings.CACHEKIT = {"DEBUG_HEADER": True}

    assert early(client).headers["X-Cachekit"] == "HIT"


def test_awaited() -> None:
    client = AsyncClient()

    async def asked() -> list[bytes]:
        found = []
        deadline = time.monotonic() + 20
        while True:
            before = len(INSIDE)
            response = await client.get("/awaited/")
            found.append(response.content)
            if len(INSIDE) == before:
                return found
            assert time.monotonic() < deadline

    assert set(async_to_sync(asked)()) == {b"awaited"}


def test_answers_do_not_touch_each_other(client: Client) -> None:
    one = early(client)
    one.content = b"mine"
    one.headers["X-Mine"] = "yes"
    one.set_cookie("mine", "yes")

    other = early(client)

    assert other.content.startswith(b"Hello")
    assert "X-Mine" not in other.headers
    assert not other.cookies


@pytest.mark.parametrize("own", ["user", "Cookie", "authorization", len])
def test_what_is_public_varies_on_no_visitor(own: Any) -> None:
    with pytest.raises(ValueError, match="same for everybody"):
        cached_view(60, public=True, vary=(own,))


def test_a_copy_is_what_the_constructor_makes() -> None:
    made = HttpResponse("body", status=200, reason="Fine", headers={"X-One": "1", "Content-Type": "text/plain"})

    copy = another(made)

    assert is_pristine(made)
    assert list(vars(copy)) == list(vars(made))
    assert {name: (type(one), repr(one)) for name, one in vars(copy).items()} == {
        name: (type(one), repr(one)) for name, one in vars(made).items()
    }
    changing = {name for name, one in vars(made).items() if type(one) not in (str, int, bool, type(None))}
    assert all(vars(copy)[name] is not vars(made)[name] for name in changing)
    assert vars(copy.headers) == vars(made.headers)
    copy.write("more")
    copy["X-One"] = "2"
    assert (made.content, made["X-One"]) == (b"body", "1")


@pytest.mark.django_db
@pytest.mark.parametrize("touch", ["cookie", "closed", "handler", "closer", "mark", "written"])
def test_a_response_to_which_something_has_happened_is_not_copied(touch: str) -> None:
    made: Any = HttpResponse("body")
    if touch == "cookie":
        made.set_cookie("a", "b")
    elif touch == "closed":
        made.close()
    elif touch == "handler":
        made._handler_class = object
    elif touch == "closer":
        made._resource_closers.append(print)
    elif touch == "mark":
        made.mine = 1
    else:
        made.write("more")

    with pytest.raises(NotCopied):
        Responses().copier(made, lambda _: None)


def test_everything_is_forgotten_at_once(client: Client) -> None:
    early(client)

    invalidate("*")

    assert not ask(client)[1]
    assert near_for("default") is not None
