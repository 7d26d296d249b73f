"""`@cached_view`: a page is kept for those who may see it, and for nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser, User
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject
from django.views import View
from django.views.decorators.cache import never_cache

from cachekit import cached_view, hooks, invalidate
from cachekit.exceptions import UncacheableValue
from tests.zoo.builders import make_book
from tests.zoo.models import Book

pytestmark = pytest.mark.django_db(transaction=True)
CALLS: list[str] = []

Build = Callable[[HttpRequest], Any]


def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"page {len(CALLS)}")


def headed(name: str, value: str) -> Build:
    def build(request: HttpRequest) -> HttpResponse:
        response = plain(request)
        response[name] = value
        return response

    return build


def cookie(request: HttpRequest) -> HttpResponse:
    response = plain(request)
    response.set_cookie("name", "Alice")
    return response


def session_read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"cart {request.session.get('cart')}")


def session_written(request: HttpRequest) -> HttpResponse:
    request.session["seen"] = len(CALLS)
    return plain(request)


def shows_messages(request: HttpRequest) -> HttpResponse:
    messages.success(request, "Well done, Alice")
    return HttpResponse(",".join(str(one) for one in messages.get_messages(request)))


def token(request: HttpRequest) -> HttpResponse:
    return HttpResponse(get_token(request))


def token_in_body(request: HttpRequest) -> HttpResponse:
    return HttpResponse('<input name="csrfmiddlewaretoken" value="x">')


def token_in_template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, _template("{% csrf_token %}"), {})


def late_user(request: HttpRequest) -> HttpResponse:
    request.user = User(pk=5, username="Alice")
    return HttpResponse("Alice's")


def _template(source: str) -> Any:
    from django.template import engines

    return engines["django"].from_string(source)


NEVER: dict[str, Build] = {
    "private": headed("Cache-Control", "Private"),
    "no-store": headed("Cache-Control", "max-age=60, NO-STORE"),
    "no-cache with a field": headed("cache-control", 'No-Cache="Set-Cookie"'),
    "max-age=0": headed("Cache-Control", "MAX-AGE=0"),
    "never_cache": never_cache(plain),
    "Vary: *": headed("Vary", "*"),
    "Vary on everything and more": headed("Vary", "Accept, *"),
    "undeclared Vary": headed("Vary", "X-Tenant"),
    "Vary: Cookie": headed("VARY", "cookie"),
    "a cookie": cookie,
    "a cookie as a header": headed("Set-Cookie", "name=Alice"),
    "a token": token,
    "a token in the body": token_in_body,
    "a token in a template": token_in_template,
    "a stream": lambda request: StreamingHttpResponse(iter([b"page"])),
    "a file": lambda request: FileResponse(iter([b"page"])),
    "session read": session_read,
    "session written": session_written,
    "messages": shows_messages,
    "a user recognised in the view": late_user,
    "created": lambda request: HttpResponse("page", status=201),
    "not found": lambda request: HttpResponse("page", status=404),
    "redirect": lambda request: HttpResponse(status=302, headers={"Location": "/"}),
    "not modified": lambda request: HttpResponse(status=304),
    "error": lambda request: HttpResponse("page", status=500),
}
MAY: dict[str, Build] = {
    "text": plain,
    "json": lambda request: JsonResponse({"calls": len(CALLS)}),
    "public": headed("Cache-Control", "public, max-age=60"),
    "declared Vary": headed("Vary", "accept-LANGUAGE"),
    "template": lambda request: TemplateResponse(request, _template("page {{ n }}"), {"n": len(CALLS)}),
    "who is it": lambda request: HttpResponse(f"{request.user.is_authenticated} {len(CALLS)}"),
}


def counted(name: str, build: Build) -> Any:
    def view(request: HttpRequest, **kwargs: Any) -> Any:
        CALLS.append(name)
        return build(request)

    view.__qualname__ = f"view_{name}".replace(" ", "_")
    return view


def acounted(name: str, build: Build) -> Any:
    async def view(request: HttpRequest, **kwargs: Any) -> Any:
        CALLS.append(name)
        return await sync_to_async(build)(request)

    view.__qualname__ = f"aview_{name}".replace(" ", "_")
    return view


def users(request: HttpRequest) -> HttpResponse:
    CALLS.append("users")
    return HttpResponse(f"Hello {request.user}")


async def ausers(request: HttpRequest) -> HttpResponse:
    CALLS.append("ausers")
    user = await request.auser()
    return HttpResponse(f"Hello {user}")


def carts(request: HttpRequest) -> HttpResponse:
    CALLS.append("carts")
    return session_read(request)


def titles(request: HttpRequest) -> HttpResponse:
    CALLS.append("titles")
    return HttpResponse(", ".join(sorted(Book.objects.values_list("title", flat=True))))


async def atitles(request: HttpRequest) -> HttpResponse:
    CALLS.append("titles")
    return HttpResponse(", ".join(sorted([book.title async for book in Book.objects.all()])))


def racing(request: HttpRequest) -> HttpResponse:
    response = titles(request)
    Book.objects.update(title=f"title {len(CALLS)}")
    return response


@method_decorator(cached_view(60), name="dispatch")
class Page(View):
    """A class of views."""

    def get(self, request: HttpRequest) -> HttpResponse:
        CALLS.append("class")
        return plain(request)

    def post(self, request: HttpRequest) -> HttpResponse:
        return plain(request)


@method_decorator(cached_view(60), name="dispatch")
class AsyncPage(View):
    """A class of awaited views."""

    async def get(self, request: HttpRequest) -> HttpResponse:
        CALLS.append("class")
        return plain(request)


class OneMethod(View):
    """A class with one method that is kept."""

    @method_decorator(cached_view(60))
    def get(self, request: HttpRequest) -> HttpResponse:
        CALLS.append("class")
        return plain(request)


def converted(request: HttpRequest, number: int, word: str = "") -> HttpResponse:
    CALLS.append("converted")
    return HttpResponse(f"{number} {word}")


kept = cached_view(60)(converted)


def twice(request: HttpRequest) -> HttpResponse:
    return HttpResponse(kept(request, 1).content + kept(request, number=2).content)


EVERYTHING = {
    **{f"never {name}": build for name, build in NEVER.items()},
    **{f"may {name}": b for name, b in MAY.items()},
}
DECLARED = ("Accept-Language",)
urlpatterns = [
    *(
        path(name.replace(" ", "_"), cached_view(60, vary=DECLARED)(counted(name, view)))
        for name, view in EVERYTHING.items()
    ),
    *(
        path("a/" + name.replace(" ", "_"), cached_view(60, vary=DECLARED)(acounted(name, view)))
        for name, view in EVERYTHING.items()
    ),
    path("users/", cached_view(60)(users)),
    path("each/", cached_view(60, vary=("user",))(users)),
    path("a/users/", cached_view(60)(ausers)),
    path("a/each/", cached_view(60, vary=("user",))(ausers)),
    path("carts/", cached_view(60, vary=("user",))(carts)),
    path("cookies/", cached_view(60, vary=("Cookie",))(carts)),
    path(
        "tenants/",
        cached_view(60, vary=("X-Tenant", lambda request: request.GET.get("fold", "")[:1]))(counted("t", plain)),
    ),
    path("tokens/", cached_view(60, vary=("Authorization",))(counted("tokens", plain))),
    path("titles/", cached_view(60)(titles)),
    path("a/titles/", cached_view(60)(atitles)),
    path("racing/", cached_view(60)(racing)),
    path("class/", Page.as_view()),
    path("a/class/", AsyncPage.as_view()),
    path("method/", OneMethod.as_view()),
    path("number/<int:number>/", kept),
    path("twice/", twice),
    path("missing/", cached_view(60)(lambda request: (_ for _ in ()).throw(Http404()))),
]


@pytest.fixture(autouse=True)
def _site(settings: Any, _isolation: None) -> None:
    from cachekit import testing

    settings.ROOT_URLCONF = __name__
    settings.CACHEKIT = {"DEBUG_HEADER": True}
    settings.ALLOWED_HOSTS = ["*"]
    settings.CACHES = {"default": settings.CACHES["default"]}
    testing.reset()
    CALLS.clear()


@pytest.fixture(params=["", "a/"], ids=["called", "awaited"])
def get(request: pytest.FixtureRequest, client: Client) -> Callable[..., Any]:
    """`get("users/")` asks WSGI's or ASGI's handler for a view of the same kind, as `person` if there is one."""

    def ask(where: str, *, person: User | None = None, method: str = "get", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if not request.param:
            visitor = Client()
            if person is not None:
                visitor.force_login(person)
            return getattr(visitor, method)(f"/{where}", headers=named)
        avisitor = AsyncClient()
        if person is not None:
            avisitor.force_login(person)
        return async_to_sync(getattr(avisitor, method))(f"/{request.param}{where}", headers=named)

    return ask


def seen(response: Any) -> str:
    """Return HIT, MISS or BYPASS."""
    return str(response.headers["X-Cachekit"]).partition(";")[0]


@pytest.mark.parametrize("name", NEVER)
def test_never_kept(name: str, get: Callable[..., Any]) -> None:
    where = f"never_{name}".replace(" ", "_")

    assert [seen(get(where)), seen(get(where))] == ["MISS", "MISS"]
    assert len(CALLS) == 2


@pytest.mark.parametrize("name", MAY)
def test_kept(name: str, get: Callable[..., Any]) -> None:
    where = f"may_{name}".replace(" ", "_")

    first, second = get(where), get(where)

    assert [seen(first), seen(second)] == ["MISS", "HIT"]
    assert second.content == first.content
    assert second.status_code == 200
    del first.headers["X-Cachekit"], second.headers["X-Cachekit"]
    assert dict(second.headers) == dict(first.headers)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("post", {}),
        ("put", {}),
        ("options", {}),
        ("get", {"Range": "bytes=0-1"}),
        ("get", {"Authorization": "Bearer x"}),
    ],
)
def test_requests_that_pass_by(method: str, headers: dict[str, str], get: Callable[..., Any]) -> None:
    get("may_text")

    assert seen(get("may_text", method=method, **headers)) == "BYPASS"
    assert seen(get("may_text")) == "HIT"


def test_what_makes_another_page(client: Client) -> None:
    urls = ["/may_text?", "/may_text?a=1&b=2", "/may_text?b=2&a=1", "/may_text?a=1&a=2", "/may_text?a=%3D1"]
    hosts = ["testserver", "other.example", "testserver:8000"]

    for url in urls:
        assert seen(client.get(url)) == "MISS"
        assert seen(client.get(url)) == "HIT"
    for host in hosts:
        assert seen(client.get("/may_text?host", headers={"host": host})) == "MISS"
    assert seen(client.get("/may_text?host", secure=True)) == "MISS"
    assert seen(client.head("/may_text?host")) == "MISS"
    assert client.head("/may_text?host").content == b""
    assert client.get("/may_text?host").content != b""
    with translation.override("nl"):
        assert seen(client.get("/may_text?host", headers={"accept-language": "nl"})) == "MISS"
    for header in ({"accept-language": ""}, {"accept-language": "en"}):
        assert seen(client.get("/may_text?host", headers=header)) == "MISS"


@pytest.mark.parametrize("around", [lambda: translation.override("nl"), lambda: timezone.override("Asia/Tokyo")])
def test_language_and_time_zone_make_another_page(around: Callable[[], Any]) -> None:
    view, request = cached_view(60)(counted("around", plain)), RequestFactory().get("/around/")

    first = view(request)
    with around():
        assert seen(view(request)) == "MISS"
        assert seen(view(request)) == "HIT"
    assert view(request).content == first.content


def test_declared_variations(client: Client) -> None:
    def ask(query: str = "", **headers: str) -> str:
        return seen(client.get(f"/tenants/?{query}", headers=headers))

    assert [ask(), ask(**{"X-Tenant": ""}), ask(**{"X-Tenant": "a"}), ask(**{"x-tenant": "b"})] == ["MISS"] * 4
    assert [ask(), ask(**{"x-tenant": ""}), ask(**{"x-tenant": "a"})] == ["HIT"] * 3
    token = {"Authorization": "Bearer alice"}
    assert [seen(client.get("/tokens/", headers=h)) for h in (token, token, {"Authorization": "Bearer bob"}, {})] == [
        "MISS",
        "HIT",
        "MISS",
        "MISS",
    ]


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def bob() -> User:
    return User.objects.create_user("bob", is_staff=True)


def test_who_is_signed_in_gets_a_page_of_their_own(alice: User, bob: User, get: Callable[..., Any]) -> None:
    for person in (alice, bob, None, alice, None):
        response = get("users/", person=person)
        assert response.content == f"Hello {person or 'AnonymousUser'}".encode()
        assert seen(response) in ("BYPASS" if person else "MISS", "BYPASS" if person else "HIT")

    assert len(CALLS) == 4
    assert "Cookie" in get("users/").headers["Vary"]


def test_each_user_is_kept_their_own_page(alice: User, bob: User, get: Callable[..., Any]) -> None:
    for result in ("MISS", "HIT"):
        for person in (alice, None, bob):
            response = get("each/", person=person)
            assert response.content == f"Hello {person or 'AnonymousUser'}".encode()
            assert seen(response) == result


def _with_session(**values: Any) -> Client:
    visitor = Client()
    session = visitor.session
    session.update(values)
    session.save()
    visitor.cookies["sessionid"] = str(session.session_key)
    return visitor


def test_a_session_is_nobody_elses(client: Client) -> None:
    mine, yours = _with_session(cart="mine"), _with_session(cart="yours")

    for where in ("/carts/", "/cookies/"):
        for _ in range(2):
            assert [v.get(where).content for v in (mine, yours, client)] == [b"cart mine", b"cart yours", b"cart None"]

    assert seen(mine.get("/carts/")) == "MISS"
    assert seen(mine.get("/cookies/")) == "HIT"


def test_an_anonymous_visitor_with_a_session_shares_the_anonymous_page(client: Client) -> None:
    visitor = _with_session(cart="mine")

    assert [seen(client.get("/users/")), seen(visitor.get("/users/"))] == ["MISS", "HIT"]
    invalidate("view:tests.test_pages.users")
    responses = [visitor.get("/users/"), client.get("/users/")]
    assert [seen(one) for one in responses] == ["MISS", "HIT"]
    assert all("Cookie" in one.headers["Vary"] for one in responses)


@pytest.mark.parametrize("vary", [(), ("user",)])
def test_a_user_known_by_other_means_than_the_session_is_noticed(vary: Any, alice: User, bob: User) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"Hello {request.user}")

    page = cached_view(60, vary=vary)(view)

    def ask(user: Any) -> bytes:
        request = RequestFactory().get("/")
        request.user = user
        return page(request).content

    lazy = [lambda: alice, lambda: bob, AnonymousUser]
    for _ in range(2):
        assert [ask(SimpleLazyObject(one)) for one in lazy] == [b"Hello alice", b"Hello bob", b"Hello AnonymousUser"]
        assert [ask(one()) for one in lazy] == [b"Hello alice", b"Hello bob", b"Hello AnonymousUser"]


def test_messages_that_wait_in_a_cookie_pass_by(client: Client) -> None:
    client.get("/may_text")
    client.cookies["messages"] = "something"

    assert seen(client.get("/may_text")) == "BYPASS"


def test_a_write_makes_a_page_stale(get: Callable[..., Any]) -> None:
    make_book("old")

    assert [get("titles/").content, get("titles/").content] == [b"old", b"old"]
    Book.objects.update(title="new")
    assert get("titles/").content == b"new"
    assert CALLS == ["titles"] * 2


def test_a_page_that_was_overtaken_tells_other_caches_not_to_keep_it(client: Client) -> None:
    make_book("old")

    first, second = client.get("/racing/"), client.get("/racing/")

    assert [seen(first), seen(second)] == ["MISS", "MISS"]
    assert "no-store" in first.headers["Cache-Control"]
    assert second.content == b"title 1"


def test_classes_of_views(get: Callable[..., Any]) -> None:
    assert [seen(get("class/")), seen(get("class/"))] == ["MISS", "HIT"]
    invalidate("view:tests.test_pages.Page", "view:tests.test_pages.AsyncPage")
    assert seen(get("class/")) == "MISS"


def test_one_method_of_a_class(client: Client) -> None:
    assert [seen(client.get("/method/")), seen(client.get("/method/"))] == ["MISS", "HIT"]
    assert seen(client.head("/method/")) == "MISS"
    assert client.post("/class/").status_code == 200


def test_a_views_arguments_are_part_of_its_key(client: Client) -> None:
    assert client.get("/number/1/").content == b"1 "
    assert client.get("/number/2/").content == b"2 "
    assert client.get("/twice/").content == client.get("/twice/").content == b"1 2 "
    assert len(CALLS) == 4

    class Odd:
        """What a path converter made."""

    request = RequestFactory().get("/odd/")
    page: Any = kept
    assert seen(page(request, Odd())) == "MISS"
    assert seen(page(request, Odd())) == "HIT"


def test_an_exception_passes_through(client: Client) -> None:
    assert client.get("/missing/").status_code == client.get("/missing/").status_code == 404


def test_a_refusal_is_told() -> None:
    reasons: list[str] = []

    def note(event: hooks.Refused) -> None:
        reasons.append(event.reason)

    hooks.subscribe(hooks.Refused, note)
    try:
        cached_view(60)(counted("told", headed("Vary", "Accept")))(RequestFactory().get("/"))
    finally:
        hooks.unsubscribe(hooks.Refused, note)

    assert reasons == ["it varies on accept: declare vary=('accept',)"]


class Shelf:
    def get(self, request: HttpRequest) -> HttpResponse:
        return plain(request)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda: cached_view(plain), TypeError, r"@cached_view\(600\)"),
        (lambda: cached_view(60)(Shelf.get), TypeError, "@method_decorator"),
        (lambda: cached_view(60, vary="user"), TypeError, r"vary=\('user',\)"),
        (lambda: cached_view(60)(object()), UncacheableValue, "view function"),  # type: ignore[type-var]
        (lambda: cached_view(-1)(plain), ValueError, "timeout"),
    ],
)
def test_mistakes_are_said_at_once(wrong: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        wrong()


def test_the_view_keeps_its_attributes_and_others_their_headers() -> None:
    view: Any = counted("attributes", plain)
    view.csrf_exempt = True
    page: Any = cached_view(60)(view)
    request = RequestFactory().get("/")

    patch_vary_headers(page(request), ["Accept"])

    assert page.csrf_exempt is True
    assert page.__wrapped__ is view
    assert "Vary" not in page(request).headers
