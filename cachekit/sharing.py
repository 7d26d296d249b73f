"""Decide whether a page may be shown to others than the visitor who asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest
from django.http.request import HttpHeaders
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject, empty

Vary = str | Callable[[HttpRequest], Any]

CSRF_FLAG = "CSRF_COOKIE_NEEDS_UPDATE"
UNSHARED = frozenset({"private", "no-store", "no-cache"})


def obstacle(request: HttpRequest, vary: tuple[Vary, ...]) -> str:
    """Tell why this request must not be answered from the cache, whoever sent it, or nothing."""
    if request.method not in ("GET", "HEAD"):
        return "method"
    if "HTTP_RANGE" in request.META:
        return "range"
    if "HTTP_AUTHORIZATION" in request.META and not _declares(vary, "authorization"):
        return "authorization"
    if "messages" in request.COOKIES:
        return "messages"
    return ""


def user_of(request: HttpRequest) -> Any:
    """Return the signed-in user, None for nobody; the session is not touched where there is no session cookie."""
    return None if _is_stranger(request) else getattr(request, "user", None)


async def auser_of(request: HttpRequest) -> Any:
    """Like `user_of`."""
    if _is_stranger(request):
        return None
    user = getattr(request, "user", None)
    if _is_of_the_session(user):
        return await request.auser()
    await sync_to_async(lambda: getattr(user, "is_authenticated", False))()  # a lazy one may ask the database
    return user


def visitor_obstacle(request: HttpRequest, vary: tuple[Vary, ...], user: Any) -> str:
    """Tell why this visitor must get a page of their own, or nothing."""
    if user is not None and user.is_authenticated and not _declares(vary, "user"):
        return "user"
    request._cachekit_user = _identity(user)  # type: ignore[attr-defined]  # noqa: SLF001 - ours, for vary_value
    return ""


def vary_value(request: HttpRequest, vary: Vary) -> Any:
    """Return what a page varies on, for its key; an absent header differs from an empty one."""
    if callable(vary):
        return vary(request)
    if vary.lower() == "user":
        return getattr(request, "_cachekit_user", None)
    return request.META.get(wsgi_name(vary))


@lru_cache(maxsize=256)
def wsgi_name(header: str) -> str:
    """Return how a header is called in `request.META`; `request.headers` reads all of them first."""
    return HttpHeaders.to_wsgi_name(header)


class Watch:
    """What a view did with its request while it ran."""

    __slots__ = ("csrf", "session", "user")

    def __init__(self) -> None:
        self.csrf = False
        self.session = False
        self.user = False


@contextmanager
def watching(request: HttpRequest) -> Iterator[Watch]:
    """Notice whether the view inside takes a CSRF token, reads the session or asks who the visitor is.

    The watch is complete once the block has been left. What was noted before stays as it was. To ask for `request.user`
    is not to read the session.
    """
    watch = Watch()
    session: Any = getattr(request, "session", None)
    accessed = getattr(session, "accessed", False)
    flagged = request.META.pop(CSRF_FLAG, None)
    if session is not None:
        session.accessed = False
    try:
        with _watching_user(request, watch):
            yield watch
        watch.csrf = bool(request.META.get(CSRF_FLAG))
        watch.session = bool(session is not None and (session.accessed or session.modified))
    finally:
        if session is not None:
            session.accessed = accessed or session.accessed
        if flagged is not None:
            request.META[CSRF_FLAG] = flagged


@contextmanager
def _watching_user(request: Any, watch: Watch) -> Iterator[None]:
    user, auser = request.__dict__.get("user"), request.__dict__.get("auser")
    if not _is_of_the_session(user):
        yield
        return

    def look() -> Any:
        before, watch.user = request.session.accessed, True
        bool(user.is_authenticated)  # loads it
        request.session.accessed = before
        return user

    async def alook() -> Any:
        before, watch.user = request.session.accessed, True
        found = await auser()
        request.session.accessed = before
        return found

    watched = request.user, request.auser = SimpleLazyObject(look), alook
    try:
        yield
    finally:
        if request.user is watched[0]:  # the view may have put somebody else there
            request.user, request.auser = user, auser


def response_obstacle(request: HttpRequest, response: HttpResponseBase, vary: tuple[Vary, ...], watch: Watch) -> str:
    """Tell why this response must not be shown to others, or nothing."""
    checks = (
        (response.streaming, "it streams"),
        (response.status_code != 200, f"its status is {response.status_code}"),
        (bool(response.cookies), "it sets a cookie"),
        (watch.csrf or b"csrfmiddlewaretoken" in getattr(response, "content", b""), "it holds a CSRF token"),
        (watch.session and not _declares(vary, "cookie"), "it reads the session: declare vary=('cookie',)"),
        (_shows_messages(request), "it shows messages to this visitor"),
        (_is_known_by_now(request), "it knows a visitor who was not known before the view ran"),
        ("Set-Cookie" in response.headers, "it sets a cookie"),
    )
    found = next((reason for applies, reason in checks if applies), "")
    return found or header_obstacle(response, vary)


def header_obstacle(response: HttpResponseBase, vary: tuple[Vary, ...], *, own: bool = False) -> str:
    """Tell why the headers of this response forbid to show it to others, or nothing; `own` pages may be private."""
    control = {part.strip().lower() for part in response.headers.get("Cache-Control", "").split(",")}
    if unshared := {part.partition("=")[0].strip() for part in control} & (UNSHARED - ({"private"} if own else set())):
        return f"it says Cache-Control: {', '.join(sorted(unshared))}"
    if control & {"max-age=0", "s-maxage=0"}:
        return "it says that it is not to be kept (max-age=0)"
    names = {name.strip().lower() for name in response.headers.get("Vary", "").split(",")} - {""}
    if "*" in names:
        return "it varies on everything"
    undeclared = sorted(name for name in names if not _declares(vary, name))
    if undeclared:
        return f"it varies on {', '.join(undeclared)}: declare vary=({undeclared[0]!r},)"
    return ""


def _declares(vary: tuple[Vary, ...], *names: str) -> bool:
    return any(isinstance(one, str) and one.lower() in names for one in vary)


def _is_stranger(request: HttpRequest) -> bool:
    """Tell whether nobody can be signed in: no session, and no user put there by other means."""
    user, session = request.__dict__.get("user"), getattr(request, "session", None)
    if user is not None and not _is_of_the_session(user):
        return False
    return settings.SESSION_COOKIE_NAME not in request.COOKIES and getattr(session, "session_key", None) is None


def _is_of_the_session(user: Any) -> bool:
    """Tell whether Django's middleware put this user there: it loads it from the session, when it is asked for."""
    load = user.__dict__.get("_setupfunc") if isinstance(user, SimpleLazyObject) else None
    return getattr(load, "__module__", "") == "django.contrib.auth.middleware"


def _identity(user: Any) -> Any:
    if user is None or not user.is_authenticated:
        return None
    return (user._meta.label_lower, str(user.pk)) if hasattr(user, "_meta") else (type(user).__name__, str(user))


def _is_known_by_now(request: HttpRequest) -> bool:
    """Tell whether somebody has been recognised other than the one for whom the page is kept."""
    for user in (request.__dict__.get("user"), request.__dict__.get("_acached_user")):
        loaded = not isinstance(user, SimpleLazyObject) or user.__dict__.get("_wrapped") is not empty
        if loaded and _identity(user) not in (None, getattr(request, "_cachekit_user", None)):
            return True
    return False


def _shows_messages(request: HttpRequest) -> bool:
    messages = getattr(request, "_messages", None)
    return bool(messages is not None and messages.used and len(messages))
