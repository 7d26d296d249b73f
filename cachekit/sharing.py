"""Decide whether a page may be shown to others than the visitor who asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

Vary = str | Callable[[HttpRequest], Any]

CSRF_FLAG = "CSRF_COOKIE_NEEDS_UPDATE"
UNSHARED = frozenset({"private", "no-store", "no-cache"})


def obstacle(request: HttpRequest, vary: tuple[Vary, ...]) -> str:
    """Tell why this request must not be answered from the cache, whoever sent it, or nothing."""
    if request.method not in ("GET", "HEAD"):
        return "method"
    if "Range" in request.headers:
        return "range"
    if "Authorization" in request.headers and not _declares(vary, "authorization"):
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
    ask = getattr(request, "auser", None)
    return getattr(request, "user", None) if ask is None else await ask()


def visitor_obstacle(request: HttpRequest, vary: tuple[Vary, ...], user: Any) -> str:
    """Tell why this visitor must get a page of their own, or nothing."""
    if user is not None and user.is_authenticated and not _declares(vary, "user"):
        return "user"
    request._cachekit_user = user if user is not None and user.is_authenticated else None  # type: ignore[attr-defined]  # noqa: SLF001 - ours, for vary_value
    return ""


def vary_value(request: HttpRequest, vary: Vary) -> Any:
    """Return what a page varies on, for its key; an absent header differs from an empty one."""
    if callable(vary):
        return vary(request)
    if vary.lower() == "user":
        user = getattr(request, "_cachekit_user", None)
        return None if user is None else (user._meta.label_lower, str(user.pk))
    return request.headers.get(vary)


class Watch:
    """What a view did with its request while it ran."""

    __slots__ = ("csrf", "session")

    def __init__(self) -> None:
        self.csrf = False
        self.session = False


@contextmanager
def watching(request: HttpRequest) -> Iterator[Watch]:
    """Notice whether the view inside takes a CSRF token or reads the session; leave what was noted before as it was."""
    watch = Watch()
    session: Any = getattr(request, "session", None)
    accessed = getattr(session, "accessed", False)
    flagged = request.META.pop(CSRF_FLAG, None)
    if session is not None:
        session.accessed = False
    try:
        yield watch
        watch.csrf = bool(request.META.get(CSRF_FLAG))
        watch.session = bool(session is not None and (session.accessed or session.modified))
    finally:
        if session is not None:
            session.accessed = accessed or session.accessed
        if flagged is not None:
            request.META[CSRF_FLAG] = flagged


def response_obstacle(request: HttpRequest, response: HttpResponseBase, vary: tuple[Vary, ...], watch: Watch) -> str:
    """Tell why this response must not be shown to others, or nothing."""
    checks = (
        (response.streaming, "it streams"),
        (response.status_code != 200, f"its status is {response.status_code}"),
        (bool(response.cookies), "it sets a cookie"),
        (watch.csrf or b"csrfmiddlewaretoken" in getattr(response, "content", b""), "it holds a CSRF token"),
        (watch.session and not _declares(vary, "user", "cookie"), "it reads the session: declare vary=('user',)"),
        (_shows_messages(request), "it shows messages to this visitor"),
    )
    found = next((reason for applies, reason in checks if applies), "")
    return found or _header_obstacle(response, vary)


def _header_obstacle(response: HttpResponseBase, vary: tuple[Vary, ...]) -> str:
    control = {part.strip().lower() for part in response.headers.get("Cache-Control", "").split(",")}
    if unshared := {part.partition("=")[0].strip() for part in control} & UNSHARED:
        return f"it says Cache-Control: {', '.join(sorted(unshared))}"
    if control & {"max-age=0", "s-maxage=0"}:
        return "it says that it is not to be kept (max-age=0)"
    names = {name.strip().lower() for name in response.headers.get("Vary", "").split(",")} - {""}
    undeclared = sorted(name for name in names if not _declares(vary, name))
    if undeclared:
        return f"it varies on {', '.join(undeclared)}: declare vary=({undeclared[0]!r},)"
    return ""


def _declares(vary: tuple[Vary, ...], *names: str) -> bool:
    return any(isinstance(one, str) and one.lower() in names for one in vary)


def _is_stranger(request: HttpRequest) -> bool:
    """Tell whether nobody can be signed in: no session cookie, and no user put there by other means."""
    user = request.__dict__.get("user")
    return settings.SESSION_COOKIE_NAME not in request.COOKIES and (user is None or isinstance(user, SimpleLazyObject))


def _shows_messages(request: HttpRequest) -> bool:
    messages = getattr(request, "_messages", None)
    return bool(messages is not None and messages.used and len(messages))
