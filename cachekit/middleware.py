"""Middlewares: answer for public views before anything else, and remember what a request has read."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, NamedTuple, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation

from cachekit import computing, engine, hooks, sharing
from cachekit.conf import conf
from cachekit.core.policy import Spec
from cachekit.memos import memo
from cachekit.near import Kept, present
from cachekit.pages import Shown
from cachekit.responses import another, is_pristine
from cachekit.specs import place

OWN = frozenset(
    {"HTTP_AUTHORIZATION", "HTTP_RANGE", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_MATCH"}
    | {"HTTP_IF_UNMODIFIED_SINCE", "REMOTE_USER"}
)
"""What says that a request is somebody's own, or wants another answer than the whole page."""
MOST_HEADERS = 8
"""Pages that vary on more headers, all taken together, are left to their views."""


class Asked(NamedTuple):
    """What a request asks for, as it came in."""

    ident: Hashable
    names: tuple[str, ...]
    """The headers that count, by their names in `request.META`."""
    place: tuple[Any, Any]


class Page(NamedTuple):
    """A response as it left the middlewares inside."""

    response: HttpResponse
    spec: Spec


class RequestMemo:
    """Give each request a memo: what it has read once from a cachekit cache costs a look into a dict from then on."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._respond = memo()(get_response)
        if iscoroutinefunction(get_response):
            markcoroutinefunction(cast("Any", self))

    def __call__(self, request: HttpRequest) -> Any:
        """Have a request answered."""
        return self._respond(request)


class PublicPages:
    """Put first into MIDDLEWARE, it answers what public views have in their process's near cache.

    It keeps the whole answer, with what the middlewares inside have added, for as long as the view's entry is fresh,
    and gives it to requests without cookies that differ in no header named in `Vary`.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._names: tuple[str, ...] = ()
        self._aliases: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._awaits = iscoroutinefunction(get_response)
        if self._awaits:
            markcoroutinefunction(cast("Any", self))

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer a request, or have it answered."""
        asked = self._asked(request)
        if asked is not None and (found := self._found(asked)) is not None:
            return _at_once(found) if self._awaits else found
        return self._alater(request, asked) if self._awaits else self._later(request, asked)

    def _later(self, request: HttpRequest, asked: Asked | None) -> HttpResponseBase:
        response: HttpResponseBase = self.get_response(request)
        self._note(request, asked, response)
        return response

    async def _alater(self, request: HttpRequest, asked: Asked | None) -> HttpResponseBase:
        response: HttpResponseBase = await self.get_response(request)
        self._note(request, asked, response)
        return response

    def _asked(self, request: HttpRequest) -> Asked | None:
        """Return what a request asks for; None for one that may be anybody's own."""
        given, meta = conf(), request.META
        if request.method not in ("GET", "HEAD") or meta.get("HTTP_COOKIE") or not meta.keys().isdisjoint(OWN):
            return None
        if given.TENANT or settings.DISALLOWED_USER_AGENTS or not engine.is_plain(given):
            return None
        if request.__dict__.get("user") is not None or not computing.tracks():
            return None
        try:
            url = (request.method, request.scheme, request.get_host(), request.path, meta.get("QUERY_STRING"))
        except DisallowedHost:  # Django answers that where it is asked again
            return None
        here, names = place(), self._names
        return Asked((PublicPages, url, here, *map(meta.get, names)), names, here)

    def _found(self, asked: Asked) -> HttpResponse | None:
        for alias in self._aliases:
            near = present(alias)
            kept = near.get(asked.ident) if near is not None else None
            if kept is not None:
                page: Page = kept.value
                hooks.looked_up(cast("Any", page.spec.hit))
                return another(page.response)
        return None

    def _note(self, request: Any, asked: Asked | None, response: Any) -> None:
        """Keep an answer that a public view gave out of the near cache, for the next who asks for the same."""
        shown: Shown | None = request.__dict__.get("_cachekit_shown")
        match = getattr(request, "resolver_match", None)
        if asked is None or shown is None or match is None or match.func is not shown.view:
            return
        varies = _varies(response, shown)
        if varies is None or not _is_of_this_place(request, asked, shown, varies):
            return
        near, kept, alias = present(shown.spec.alias), shown.kept, shown.spec.alias
        if near is None or not self._knows(varies, alias, asked):
            return
        page = Page(another(response), shown.spec)
        again = Kept(page, another, kept.header, kept.checked, kept.deadline)
        near.put(asked.ident, again, len(response.content) // 4)  # as it is, not unpacked

    def _knows(self, varies: set[str], alias: str, asked: Asked) -> bool:
        """Tell whether the request was read with these headers in mind; from now on all are."""
        names = {sharing.wsgi_name(name) for name in varies}
        with self._lock:
            if alias not in self._aliases:
                self._aliases = (*self._aliases, alias)
            if names <= set(asked.names):
                return True
            wanted = (*self._names, *sorted(names - set(self._names)))
            if len(wanted) <= MOST_HEADERS:
                self._names = wanted
        return False


async def _at_once(response: HttpResponseBase) -> HttpResponseBase:
    return response


def _varies(response: Any, shown: Shown) -> set[str] | None:
    """Return the headers that a response depends on, cookies aside; None where it must not be shown to others."""
    if not is_pristine(response) or response.status_code != 200 or "Set-Cookie" in response.headers:
        return None
    named = {name.strip().lower() for name in response.headers.get("Vary", "").split(",")} - {""}
    if sharing.header_obstacle(response, tuple(named)):
        return None
    return (named | {name.lower() for name in shown.vary}) - {"cookie"}


def _is_of_this_place(request: HttpRequest, asked: Asked, shown: Shown, varies: set[str]) -> bool:
    """Tell whether language and time zone follow from what was asked, whatever middlewares inside have done."""
    (language, zone), (before, zone_before) = shown.place, asked.place
    said = "accept-language" in varies or translation.get_language_from_path(request.path_info) == language
    return zone == zone_before and (language == before or said)
