"""`@cached_view`: keep whole responses, and refuse from the start what is not safe to share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, Unpack, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers

from cachekit import engine, hooks, sharing
from cachekit.core import keys
from cachekit.core.capture import current
from cachekit.core.plans import Answer
from cachekit.core.policy import Spec
from cachekit.exceptions import InvalidKey, UncacheableValue
from cachekit.near import Kept
from cachekit.responses import marked, page_codec
from cachekit.sharing import Vary
from cachekit.specs import Door, Options, place, surroundings

View = TypeVar("View", bound=Callable[..., Any])

PERSONAL = frozenset({"user", "cookie", "authorization"})
"""What no public page varies on."""


class Shown(NamedTuple):
    """What a public view has just answered a request with, out of the near cache."""

    view: Callable[..., Any]
    spec: Spec
    kept: Kept
    place: tuple[Any, Any]
    """The language and the time zone it was answered in."""
    vary: tuple[str, ...]
    """The headers it depends on."""


def cached_view(
    timeout: Any = ...,
    /,
    *,
    vary: Sequence[Vary] = (),
    public: bool = False,
    **options: Unpack[Options],
) -> Callable[[View], View]:
    """Keep a view's responses: `@cached_view(600)`; on classes `@method_decorator(cached_view(600), name="dispatch")`.

    Works on `def` and `async def` views. What the view reads through the ORM is captured: a write to any of it makes
    the page stale. `vary` names what a page depends on beside its URL: "user", a header's name, or a function of the
    request. Without `vary=("user",)` signed-in visitors always get a page of their own. `public` says that a page is
    the same for everybody who sends the same headers: `cachekit.middleware.PublicPages` may answer in its stead.

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
    if public and (own := [one for one in vary if callable(one) or one.lower() in PERSONAL]):
        raise ValueError(f"A public page is the same for everybody; it cannot vary on {own[0]!r}. Leave public out.")

    def decorate(view: View) -> View:
        if getattr(getattr(view, "__code__", None), "co_varnames", ())[:1] == ("self",):
            raise TypeError(
                f"@cached_view is for functions; {view.__qualname__}() is a method. Write above its class"
                ' @method_decorator(cached_view(600), name="dispatch"), and @cached_response(600) in REST framework.'
            )
        page = _Page(Door("view", _name(view), options, page_codec), tuple(vary), public)
        wrap = _awaited if _is_async(view) else _called
        page.view = functools.wraps(view)(wrap(view, page))
        return cast("View", page.view)

    return decorate


class _Page:
    """One use of the decorator."""

    view: Callable[..., Any]

    def __init__(self, door: Door, vary: tuple[Vary, ...], public: bool) -> None:
        self.door = door
        self.vary = vary
        self.public = public

    def at_hand(self, request: Any, spec: Spec) -> HttpResponseBase | None:
        """Return the page if this process holds it; the middleware may show it again if it is public."""
        kept = engine.at_hand(spec)
        if kept is None:
            return None
        if self.public:
            request._cachekit_shown = Shown(self.view, spec, kept, place(), cast("tuple[str, ...]", self.vary))  # noqa: SLF001 - ours
        return marked(kept.copy(kept.value), "HIT", "")

    def bypassed(self) -> None:
        """Tell that the cache is not asked."""
        hooks.tell(hooks.Lookup(self.door.alias, self.door.kind, self.door.name, "bypass"))

    def spec(self, request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Spec:
        """Return where a page is kept: by method, scheme, host, path and query as sent, and what it varies on.

        What was asked for before, with plain arguments, costs no hashing.
        """
        varied = tuple([sharing.vary_value(request, one) for one in self.vary])
        url = (request.method, request.scheme, request.get_host(), request.path, request.META.get("QUERY_STRING", ""))
        told = (*url, *args, *kwargs.values(), *self._plain(varied))
        kinds = tuple(map(type, told))
        if not keys.EXACT.issuperset(kinds):
            return self._made(request, varied, args, kwargs)
        ident = (place(), told, kinds, tuple(kwargs), varied)
        spec = self.door.remembered(ident)
        if spec is None:
            spec = self._made(request, varied, args, kwargs)
            if all(map(keys.is_short, told)):
                self.door.remember(ident, spec)
        return spec

    def _plain(self, varied: tuple[Any, ...]) -> list[Any]:
        """Return what a page varies on, without the user's name, which is made of text only."""
        return [one for one, how in zip(varied, self.vary, strict=True) if type(one) is not tuple or callable(how)]

    def _made(self, request: HttpRequest, varied: tuple[Any, ...], args: tuple[Any, ...], kwargs: Any) -> Spec:
        url = (request.method, request.scheme, request.get_host(), request.get_full_path())
        try:
            told = keys.fingerprint(args, kwargs)
        except InvalidKey:
            told = ""  # what a path converter made of the URL, which says as much
        return self.door.spec(keys.fingerprint(url, told, surroundings(), list(varied)))


def _called(view: Callable[..., Any], page: _Page) -> Callable[..., HttpResponseBase]:
    def call(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        vary = page.vary
        reason = sharing.obstacle(request, vary) or sharing.visitor_obstacle(request, vary, sharing.user_of(request))
        if reason:
            page.bypassed()
            return marked(view(request, *args, **kwargs), "BYPASS", reason)
        spec = page.spec(request, args, kwargs)
        found = page.at_hand(request, spec)
        if found is not None:
            return found

        def produce() -> HttpResponseBase:
            with sharing.watching(request) as watch:
                response = _rendered(view(request, *args, **kwargs))
            return _checked(request, response, vary, watch)

        return _sent(engine.resolve(spec, produce))

    return call


def _awaited(view: Callable[..., Any], page: _Page) -> Callable[..., Any]:
    async def call(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        vary = page.vary
        reason = sharing.obstacle(request, vary)
        reason = reason or sharing.visitor_obstacle(request, vary, await sharing.auser_of(request))
        if reason:
            page.bypassed()
            return marked(await view(request, *args, **kwargs), "BYPASS", reason)
        spec = page.spec(request, args, kwargs)
        found = page.at_hand(request, spec)
        if found is not None:
            return found

        async def produce() -> HttpResponseBase:
            with sharing.watching(request) as watch:
                response = await _arendered(await view(request, *args, **kwargs))
            return _checked(request, response, vary, watch)

        return _sent(await engine.aresolve(spec, produce))

    return call


def _rendered(response: HttpResponseBase) -> HttpResponseBase:
    """Render a TemplateResponse now, while its reads are captured."""
    render = getattr(response, "render", None)
    return cast("HttpResponseBase", render()) if callable(render) else response


async def _arendered(response: HttpResponseBase) -> HttpResponseBase:
    """Like `_rendered`; in a thread, as Django does, since templates may ask the database."""
    render = getattr(response, "render", None)
    if iscoroutinefunction(render):
        return cast("HttpResponseBase", await render())
    return response if render is None else await sync_to_async(_rendered)(response)


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
    return marked(response, "MISS" if answer.computed else "HIT", "")


def _is_async(view: Callable[..., Any]) -> bool:
    """Tell whether a view is awaited; a class's dispatch is a plain function that may return a coroutine."""
    instance = getattr(getattr(view, "func", None), "__self__", None)
    return bool(getattr(instance, "view_is_async", False)) or iscoroutinefunction(view)


def _name(view: Callable[..., Any]) -> str:
    """Return a view's dotted name; method_decorator hands a bound method over as a partial."""
    bound = getattr(view, "func", None)
    owner = getattr(bound, "__self__", None)
    if owner is not None:
        return f"{type(owner).__module__}.{type(owner).__qualname__}"
    if not hasattr(view, "__qualname__"):
        raise UncacheableValue(f"@cached_view takes a view function, not {view!r}")
    return f"{view.__module__}.{view.__qualname__}"
