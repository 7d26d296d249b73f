"""`@cached_view`: keep whole responses, and refuse from the start what is not safe to share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar, Unpack, cast

from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers

from cachekit import engine, hooks, sharing
from cachekit.conf import conf
from cachekit.core import keys
from cachekit.core.capture import current
from cachekit.core.packing import PAGE, Packer
from cachekit.core.plans import Answer
from cachekit.core.policy import Spec
from cachekit.exceptions import InvalidKey, UncacheableValue
from cachekit.packers import chosen, packing_of
from cachekit.sharing import Vary
from cachekit.signing import signing_keys
from cachekit.specs import Door, Options, surroundings

View = TypeVar("View", bound=Callable[..., Any])


class Pages:
    """Responses as a format: status, headers and the body as it is, without cookies."""

    number = PAGE
    signed = False

    def dumps(self, value: HttpResponse) -> bytes:
        """Encode a response. Raises UncacheableValue for a reason phrase of two lines."""
        lines = [
            str(value.status_code),
            value.reason_phrase,
            *(part for pair in value.headers.items() for part in pair),
        ]
        head = "\n".join(lines)
        if head.count("\n") != len(lines) - 1:
            raise UncacheableValue(f"A response has a header or a reason phrase of two lines: {head[:80]!r}")
        text = head.encode()
        return b"%d\n%b%b" % (len(text), text, value.content)

    def loads(self, body: bytes) -> HttpResponse:
        """Decode a response."""
        size, _, rest = body.partition(b"\n")
        length = int(size)
        status, reason, *lines = rest[:length].decode().split("\n")
        headers = dict(zip(lines[::2], lines[1::2], strict=True))
        return HttpResponse(rest[length:], status=int(status), reason=reason, headers=headers)


@lru_cache(maxsize=64)
def _page_codec(alias: str, _: str) -> Packer:
    return Packer(packing_of(chosen(alias))._replace(format=Pages()), signing_keys)


def _forget(*, setting: str, **_: object) -> None:
    if setting in ("CACHES", "CACHEKIT"):
        _page_codec.cache_clear()


setting_changed.connect(_forget, dispatch_uid="cachekit.pages")


def cached_view(
    timeout: Any = ...,
    /,
    *,
    vary: Sequence[Vary] = (),
    **options: Unpack[Options],
) -> Callable[[View], View]:
    """Keep a view's responses: `@cached_view(600)`; on classes `@method_decorator(cached_view(600), name="dispatch")`.

    Works on `def` and `async def` views. What the view reads through the ORM is captured: a write to any of it makes
    the page stale. `vary` names what a page depends on beside its URL: "user", a header's name, or a function of the
    request. Without `vary=("user",)` signed-in visitors always get a page of their own.

    Only GET and HEAD, and only complete 200 responses that anyone may see are stored: none that sets a cookie, holds a
    CSRF token, streams, reads the session (unless `vary` names "cookie"), says private, no-store or no-cache, or varies
    on something not declared.
    """
    if callable(timeout):
        raise TypeError("@cached_view takes its timeout: write @cached_view(600), or @cached_view() for the default")
    if isinstance(vary, str):
        raise TypeError(f"vary is a tuple of names; write vary=({vary!r},)")
    if timeout is not ...:
        options["timeout"] = timeout

    def decorate(view: View) -> View:
        door = Door("view", _name(view), options, _page_codec)
        wrap = _awaited if _is_async(view) else _called
        return cast("View", functools.wraps(view)(wrap(view, door, tuple(vary))))

    return decorate


def _called(view: Callable[..., Any], door: Door, vary: tuple[Vary, ...]) -> Callable[..., HttpResponseBase]:
    def call(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        reason = sharing.obstacle(request, vary) or sharing.visitor_obstacle(request, vary, sharing.user_of(request))
        if reason:
            _bypassed(door)
            return _marked(view(request, *args, **kwargs), "BYPASS", reason)

        def produce() -> HttpResponseBase:
            with sharing.watching(request) as watch:
                response = _rendered(view(request, *args, **kwargs))
            return _checked(request, response, vary, watch)

        return _sent(engine.resolve(_spec(door, request, vary, args, kwargs), produce))

    return call


def _awaited(view: Callable[..., Any], door: Door, vary: tuple[Vary, ...]) -> Callable[..., Any]:
    async def call(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        reason = sharing.obstacle(request, vary)
        reason = reason or sharing.visitor_obstacle(request, vary, await sharing.auser_of(request))
        if reason:
            _bypassed(door)
            return _marked(await view(request, *args, **kwargs), "BYPASS", reason)

        async def produce() -> HttpResponseBase:
            with sharing.watching(request) as watch:
                response = _rendered(await view(request, *args, **kwargs))
            return _checked(request, response, vary, watch)

        return _sent(await engine.aresolve(_spec(door, request, vary, args, kwargs), produce))

    return call


def _bypassed(door: Door) -> None:
    hooks.tell(hooks.Lookup(door.alias, door.kind, door.name, "bypass"))


def _spec(door: Door, request: HttpRequest, vary: tuple[Vary, ...], args: tuple[Any, ...], kwargs: Any) -> Spec:
    """Return where a page is kept: by method, scheme, host, path and query as they were sent, and what it varies on."""
    url = (request.method, request.scheme, request.get_host(), request.get_full_path())
    try:
        told = keys.fingerprint(args, kwargs)
    except InvalidKey:
        told = ""  # what a path converter made of the URL, which says as much
    return door.spec(keys.fingerprint(url, told, surroundings(), [sharing.vary_value(request, one) for one in vary]))


def _rendered(response: HttpResponseBase) -> HttpResponseBase:
    """Render a TemplateResponse now, while its reads are captured."""
    render = getattr(response, "render", None)
    return cast("HttpResponseBase", render()) if callable(render) else response


def _checked(
    request: HttpRequest, response: HttpResponseBase, vary: tuple[Vary, ...], watch: sharing.Watch
) -> HttpResponseBase:
    """Keep a response that is one visitor's own from being stored."""
    capture = current.get()
    if capture is not None and (reason := sharing.response_obstacle(request, response, vary, watch)):
        capture.refuse(reason)
    if capture is not None and not isinstance(response, HttpResponse):
        capture.refuse("it is no plain HttpResponse")
    if watch.user:  # caches on the way must not show this page to those who are signed in
        patch_vary_headers(response, ("Cookie",))
    return response


def _sent(answer: Answer) -> HttpResponseBase:
    response: HttpResponseBase = answer.value
    if (
        answer.born_stale
    ):  # it may be older than what this very visitor has just seen elsewhere: nobody else may keep it
        patch_cache_control(response, no_store=True)
    return _marked(response, "MISS" if answer.computed else "HIT", "")


def _marked(response: HttpResponseBase, result: str, reason: str) -> HttpResponseBase:
    if conf().DEBUG_HEADER:
        response.headers["X-Cachekit"] = f"{result}; reason={reason}" if reason else result
    return response


def _is_async(view: Callable[..., Any]) -> bool:
    """Tell whether a view is awaited; a class's dispatch is a plain function that may return a coroutine."""
    instance = getattr(getattr(view, "func", None), "__self__", None)
    return bool(getattr(instance, "view_is_async", False)) or inspect.iscoroutinefunction(view)


def _name(view: Callable[..., Any]) -> str:
    """Return a view's dotted name; method_decorator hands a bound method over as a partial."""
    bound = getattr(view, "func", None)
    owner = getattr(bound, "__self__", None)
    if owner is not None:
        return f"{type(owner).__module__}.{type(owner).__qualname__}"
    if not hasattr(view, "__qualname__"):
        raise UncacheableValue(f"@cached_view takes a view function, not {view!r}")
    return f"{view.__module__}.{view.__qualname__}"
