"""`@cached_response`: keep what a method of an API view answers, once everybody's rights have been looked at."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import NotFound
from rest_framework.views import APIView

from cachekit import engine, hooks, sharing
from cachekit.contrib.drf.answering import dressed, sent
from cachekit.contrib.drf.asking import Asked, Passes, asked_of, seen_as
from cachekit.contrib.drf.rules import Rules, rules_of
from cachekit.contrib.drf.watching import Reads, forget_rights, watching
from cachekit.core.capture import Capture, current
from cachekit.core.policy import Spec
from cachekit.responses import marked, page_codec
from cachekit.specs import Door

M = TypeVar("M", bound=Callable[..., Any])


def cached_response(timeout: Any = ..., /, **said: Any) -> Callable[[M], M]:
    """Keep what a method of an APIView or a ViewSet, or a function below `@api_view`, answers: `@cached_response(600)`.

    Authentication, permissions and throttles run for each request, before the cache is asked. What the method reads
    through the ORM is captured: a write to any of it makes the answer stale. `vary` names on what it depends beside its
    address: `"user"` (the default), `"permissions"`, `"auth"`, `"shared"`, a header's name, a function of the request;
    `vary=()` and `public=True` say that all users share it. `params` names the query parameters that the view knows;
    others it is not shown. `max_age` (seconds) is what clients may keep without asking; `not_found=True` keeps 404
    too; `ignore` names attributes of the view that make no difference. All else as in `cachekit.specs.Options`.
    Raises TypeError for `async def`, for a misspelt option and for a timeout that was forgotten.
    """
    if callable(timeout):
        raise TypeError("@cached_response takes its timeout: write @cached_response(600), or @cached_response()")
    if timeout is not ...:
        said["timeout"] = timeout
    kept = Kept(rules_of(said))

    def decorate(method: M) -> M:
        if inspect.iscoroutinefunction(method):
            raise TypeError(f"REST framework's views are sync; @cached_response cannot keep async {method.__name__}().")
        if hasattr(method, "cls"):
            raise TypeError(f"Write @cached_response below @api_view, next to the function {method.__name__}().")

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> HttpResponseBase:
            view, request, name = _found(method, args)
            return kept.answer(view, request, name, functools.partial(method, *args, **kwargs))

        call.cachekit_rules = kept.rules  # type: ignore[attr-defined]
        return cast("M", call)

    return decorate


cached_action = cached_response


def _found(method: Any, args: tuple[Any, ...]) -> tuple[Any, Any, str]:
    """Return view, request and name: of a method, or of a function that REST framework made a view of."""
    if args and isinstance(args[0], APIView):
        return args[0], args[1], name_of(type(args[0]), method.__name__)
    request = args[0] if args else None
    view: Any = getattr(request, "parser_context", {}).get("view")
    if view is None:
        raise TypeError(f"@cached_response is for views of REST framework; {method.__qualname__}() is called by none.")
    return view, request, f"{method.__module__}.{method.__qualname__}"


def name_of(view: type, action: str) -> str:
    """Return by what name an action of a view is known."""
    return f"{view.__module__}.{view.__qualname__}.{action}"


class Kept:
    """One use of the decorator, or one action of a viewset: its rules, and a door for each view that has it."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._doors: dict[str, Door] = {}
        self.door("cachekit.checked")  # what is wrong is said where it is written

    def door(self, name: str) -> Door:
        """Return the door of a view by the view's name."""
        found = self._doors.get(name)
        if found is None:
            found = self._doors[name] = Door("view", name, self.rules.options, page_codec)
        return found

    def answer(self, view: Any, request: Any, name: str, method: Callable[[], Any]) -> HttpResponseBase:
        """Answer a request that was let in, from the cache or by calling the method."""
        door = self.door(name)
        try:
            asked = asked_of(view, request, self.rules)
        except Passes as reason:
            hooks.tell(hooks.Lookup(door.alias, door.kind, door.name, "bypass"))
            return marked(method(), "BYPASS", str(reason))
        spec = door.spec(asked.key)
        answer = engine.resolve(spec, lambda: self._computed(view, request, asked, method, spec))
        return marked(sent(request._request, answer, self.rules), "MISS" if answer.computed else "HIT")  # noqa: SLF001

    def _computed(
        self, view: Any, request: Any, asked: Asked, method: Callable[[], Any], spec: Spec
    ) -> HttpResponseBase:
        """Call the method and render, with all that it reads captured and all that it asks of its request noted."""
        rules, below = self.rules, request._request  # noqa: SLF001 - there is no other way to it
        reads, before = Reads(asked.permits, rights=rules.by_rights), request.user
        forget_rights(before)
        with seen_as(request, asked.query), watching(request, reads), sharing.watching(below) as watch:
            response = _rendered(view, self._called(view, method))
        capture = current.get()
        if capture is None:
            return response
        if request.user is not before or below.__dict__.get("user") is not before:
            capture.refuse("it knows a visitor who was not known before")
        reason = _obstacle(response, rules, reads, watch)
        if reason:
            capture.refuse(reason)
            return response
        if response.status_code == 404:
            _limit(capture, spec)
        return dressed(_bare(response), rules)

    def _called(self, view: Any, method: Callable[[], Any]) -> Any:
        if not self.rules.not_found:
            return method()
        try:
            return method()
        except (Http404, NotFound) as error:
            return view.handle_exception(error)


def _rendered(view: Any, response: Any) -> HttpResponseBase:
    """Finish a response as its view does, and render it while its reads are captured."""
    headers = view.headers
    view.headers = dict(headers)  # which the view finishes once more with, for this request
    try:
        response = view.finalize_response(view.request, response, *view.args, **view.kwargs)
    finally:
        view.headers = headers
    render = getattr(response, "render", None)
    return cast("HttpResponseBase", render() if callable(render) else response)


def _obstacle(response: HttpResponseBase, rules: Rules, reads: Reads, watch: sharing.Watch) -> str:
    """Tell why a response must not be kept, or nothing."""
    content = b"" if response.streaming else getattr(response, "content", b"")
    checks = (
        (response.streaming, "it streams"),
        (not _is_kept(response.status_code, rules), f"its status is {response.status_code}"),
        (bool(response.cookies) or "Set-Cookie" in response.headers, "it sets a cookie"),
        (watch.csrf or b"csrfmiddlewaretoken" in content, "it holds a CSRF token"),
        (watch.session and "cookie" not in reads.permits, "it reads the session: declare vary=('cookie',)"),
        ("Content-Type" not in response.headers, "it has no content"),
    )
    found = next((reason for applies, reason in checks if applies), "")
    if not found and (undeclared := reads.undeclared):
        found = f"it asks for request's {undeclared[0]}: declare vary=({undeclared[0]!r},)"
    return found or sharing.header_obstacle(response, ("accept", *rules.headers), own=rules.by_user)


def _is_kept(status: int, rules: Rules) -> bool:
    return status == 200 or (status == 404 and rules.not_found)


def _limit(capture: Capture, spec: Spec) -> None:
    """Let "not found" live no longer than other empty results."""
    capture.expiry = min(capture.expiry, capture.began + int(spec.policy.negative_timeout * 1_000_000))


def _bare(response: Any) -> HttpResponse:
    """Return a response that holds nothing but status, headers and body."""
    return HttpResponse(
        response.content,
        status=response.status_code,
        reason=response.reason_phrase,
        headers=dict(response.headers.items()),
    )
