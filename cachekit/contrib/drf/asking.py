"""What a view knows when its cache is asked: all of it is part of the key, for it was read before the computation."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.http import QueryDict
from django.views.generic import View
from rest_framework.renderers import AdminRenderer, BrowsableAPIRenderer, HTMLFormRenderer

from cachekit.contrib.drf.freezing import framed, opened
from cachekit.contrib.drf.rights import rights_of
from cachekit.contrib.drf.rules import Rules
from cachekit.contrib.drf.watching import Reads, user_of, watching
from cachekit.core import keys
from cachekit.exceptions import InvalidKey
from cachekit.sharing import wsgi_name
from cachekit.specs import surroundings

PERSONAL = (BrowsableAPIRenderer, AdminRenderer, HTMLFormRenderer)
"""Renderers that write the visitor's name, forms and tokens around the data."""
OF_THE_VIEW = frozenset(
    {
        "request",
        "args",
        "kwargs",
        "headers",
        "response",
        "action",
        "action_map",
        "format_kwarg",
        "_negotiator",
        "_paginator",
    }
    | {"schema", *View.http_method_names}
)
"""What Django and REST framework put on a view; what its address says of it is left out too, the path tells it."""
OF_THE_REQUEST = frozenset(
    {"_request", "parsers", "authenticators", "negotiator", "parser_context", "_data", "_files", "_full_data"}
    | {"_content_type", "_stream", "accepted_renderer", "accepted_media_type", "version", "versioning_scheme"}
    | {"_user", "_auth", "_authenticator", "_parsed_accept_list", "_cachekit_reads"}
    | {"csrf_processing_done"}
)
"""What REST framework puts on a request."""
OF_PAGES = (
    "page_query_param",
    "page_size_query_param",
    "limit_query_param",
    "offset_query_param",
    "cursor_query_param",
)
OF_FILTERS = ("search_param", "ordering_param")


class Passes(Exception):
    """The reason why a request is not answered from the cache, in a word."""


class Asked(NamedTuple):
    """What is asked for."""

    query: QueryDict
    """The query string as the view will see it."""
    key: str
    permits: frozenset[str]
    """What the view may ask of its request, since the key tells it."""


def asked_of(view: Any, request: Any, rules: Rules) -> Asked:
    """Return what is asked for. Raises Passes where the cache must not be asked."""
    if reason := _obstacle(request, rules):
        raise Passes(reason)
    query = _canonical(view, request, rules)
    below, renderer = request._request, request.accepted_renderer  # noqa: SLF001 - there is no other way to it
    parts: list[Any] = [
        (below.scheme, below.get_host(), below.path, query.urlencode(), surroundings()),
        (type(renderer), renderer.format, request.accepted_media_type, request.version),
    ]
    permits = varied(request, rules, parts) | {"query"}
    parts.append(_known(_attribute, view, request, rules))
    return Asked(query, keys.fingerprint(*parts), permits)


def varied(request: Any, rules: Rules, parts: list[Any]) -> frozenset[str]:
    """Add what an author said that it counts to the parts of a key; return what may be asked of the request for that.

    Raises Passes for what cannot be told from another.
    """
    permits = {*rules.headers, *(rules.words & {"auth"})}
    parts.append([request._request.META.get(wsgi_name(name)) for name in rules.headers])  # noqa: SLF001
    if rules.by_user:
        permits.add("user")
        parts.append(("user", _known(_user, request, rules)))
    if rules.by_rights:
        parts.append(("rights", _known(_rights, request)))
    if "auth" in rules.words:
        parts.append(_known(_auth, request))
    if rules.functions:
        with watching(request, Reads()) as reads:
            parts.append([_known(function, request) for function in rules.functions])
        permits |= reads.seen
    return frozenset(permits)


def _obstacle(request: Any, rules: Rules) -> str:
    if request.method not in ("GET", "HEAD"):
        return "method"
    meta = request._request.META  # noqa: SLF001 - there is no other way to it
    if "HTTP_RANGE" in meta:
        return "range"
    if isinstance(request.accepted_renderer, PERSONAL):
        return "browsable"
    if "HTTP_AUTHORIZATION" in meta and not (rules.public or "authorization" in rules.words):
        recognised = request.auth is not None or getattr(request.user, "is_authenticated", False)
        return "" if recognised else "authorization"
    return ""


def _known(ask: Any, *about: Any) -> bytes:
    """Encode what a function returns. Raises Passes, with the function's name, where it cannot be part of a key."""
    try:
        return framed(ask(*about))
    except InvalidKey as error:
        raise Passes(ask.__name__.strip("_")) from error


def _user(request: Any, rules: Rules) -> Any:
    """Return who asks, by all that their row holds but what makes no difference; None for nobody."""
    user = opened(user_of(request))
    if user is None or getattr(user, "is_anonymous", False) is True:
        return None
    if hasattr(user, "_meta"):
        return _without(user, rules)
    if getattr(user, "pk", None) is None:
        raise InvalidKey("A user without a primary key cannot be told from another.")
    return type(user), user.pk, vars(user)


def _rights(request: Any) -> Any:
    """Return what the visitor may do."""
    return rights_of(user_of(request, rights=True))


def _without(user: Any, rules: Rules) -> Any:
    left_out = {one.removeprefix("user.") for one in rules.ignore if one.startswith("user.")}
    if left_out:
        user = copy.copy(user)
        for name in left_out & vars(user).keys():
            del vars(user)[name]
    return user


def _auth(request: Any) -> Any:
    """Return what a user showed; of a token that carries claims its claims."""
    auth = request.auth
    return getattr(auth, "payload", auth)


def _attribute(view: Any, request: Any, rules: Rules) -> Any:
    """Return arguments, and what the view's own code has put on view and request: it may be older than the entry."""
    match = request._request.resolver_match  # noqa: SLF001 - there is no other way to it
    start = getattr(getattr(match, "func", None), "initkwargs", {})
    own = {
        name: value
        for name, value in vars(view).items()
        if name not in OF_THE_VIEW and not (name in start and start[name] is value)
    }
    others = {name: value for name, value in vars(request).items() if name not in OF_THE_REQUEST}
    found = {**own, **{f"request.{name}": value for name, value in others.items()}}
    told = {name: value for name, value in found.items() if name not in rules.ignore}
    return _arguments(view), told


def _arguments(view: Any) -> Any:
    try:
        return keys.fingerprint(view.args, view.kwargs)
    except InvalidKey:
        return ""  # what a path converter made of the path, which says as much


def _canonical(view: Any, request: Any, rules: Rules) -> QueryDict:
    """Return the query string in one order, without what the view does not know where it said what it knows."""
    given = request._request.GET  # noqa: SLF001 - not a read of the view's
    query = QueryDict(mutable=True, encoding=given.encoding)
    known = None if rules.params is None else {*rules.params, *_params_of(view, request)}
    for name in sorted(given):
        if known is None or name in known:
            query.setlist(name, given.getlist(name))
    query._mutable = False  # noqa: SLF001 - the way to freeze one
    return query


def _params_of(view: Any, request: Any) -> Iterator[str]:
    """Yield the names that REST framework itself looks for: pages, search, order, format, version."""
    settings = view.settings
    yield from (name for name in (settings.URL_FORMAT_OVERRIDE,) if name)
    if request.versioning_scheme is not None:
        yield request.versioning_scheme.version_param
    paginator = getattr(view, "paginator", None)
    yield from (name for one in OF_PAGES if (name := getattr(paginator, one, None)))
    for backend in getattr(view, "filter_backends", ()):
        yield from (name for one in OF_FILTERS if (name := getattr(backend, one, None)))


@contextmanager
def seen_as(request: Any, query: QueryDict) -> Iterator[None]:
    """Show the view a request that says no more than its key: GET, with the canonical query string."""
    below = request._request  # noqa: SLF001 - there is no other way to it
    method, text = below.method, below.META.get("QUERY_STRING")
    given = below.__dict__.get("GET")
    below.method, below.GET, below.META["QUERY_STRING"] = "GET", query, query.urlencode()
    try:
        yield
    finally:
        below.method = method
        del below.GET
        if given is not None:
            below.GET = given
        below.META["QUERY_STRING"] = text or ""
