"""What the views of the tests answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import never_cache
from rest_framework.exceptions import NotFound, Throttled
from rest_framework.response import Response

from tests.zoo.models import Book

CALLS: list[str] = []
Respond = Callable[[Any, Any], Any]


def greeting(view: Any, request: Any) -> Response:
    """Call the visitor by name."""
    return Response({"hello": str(request.user), "calls": len(CALLS)})


def number(view: Any, request: Any) -> Response:
    """Tell how often anything was computed."""
    return Response({"calls": len(CALLS)})


def rights(view: Any, request: Any) -> Response:
    """Tell what the visitor may do."""
    return Response({"add": request.user.has_perm("zoo.add_book"), "calls": len(CALLS)})


def raised(error: Exception) -> Respond:
    """Return what raises."""

    def respond(view: Any, request: Any) -> Any:
        raise error

    return respond


def cookie(view: Any, request: Any) -> Response:
    """Set a cookie."""
    response = Response({"name": "Alice"})
    response.set_cookie("name", "Alice")
    return response


def stream(view: Any, request: Any) -> StreamingHttpResponse:
    """Stream."""
    return StreamingHttpResponse(iter([b"{}"]), content_type="application/json")


def author(view: Any, request: Any) -> Response:
    """Name what the view fetched before."""
    return Response({"name": view.author.name})


def about_one(view: Any, request: Any) -> Response:
    """Ask for a permission about one object."""
    return Response(request.user.has_perm("x.y", Book()))


def currency(view: Any, request: Any) -> Response:
    """Tell the currency in a header."""
    return Response({"in": request.headers.get("X-Currency")})


def biscuit(view: Any, request: Any) -> Response:
    """Tell the currency in a cookie."""
    return Response({"in": request.COOKIES.get("currency")})


def word(view: Any, request: Any) -> Response:
    """Tell what the visitor showed."""
    return Response({"word": request.auth})


def cart(view: Any, request: Any) -> Response:
    """Tell what is in the session."""
    return Response({"cart": request.session.get("cart")})


def title(view: Any, request: Any) -> Response:
    """Tell a title, or that there is none."""
    return Response({"title": get_object_or_404(Book, pk=view.kwargs["pk"]).title})


def signs_in(view: Any, request: Any) -> Response:
    """Recognise a visitor by a word in the query string."""
    request.user = User(pk=9, username=request.query_params["as"])
    return greeting(view, request)


def signs_in_below(view: Any, request: Any) -> Response:
    """Do so on Django's request."""
    request._request.user = User(pk=9, username=request.query_params["as"])
    return Response({"hello": str(request._request.user)})


def chosen(view: Any, request: Any) -> Response:
    """Tell what the view has chosen."""
    return Response(view.serializer_class.__name__)


def racing(view: Any, request: Any) -> Response:
    """Tell titles, and change them meanwhile."""
    response = Response(list(Book.objects.values_list("title", flat=True)))
    Book.objects.update(title=f"title {len(CALLS)}")
    return response


NEVER: dict[str, Respond] = {
    "created": lambda view, request: Response({}, status=201),
    "no content": lambda view, request: Response(status=204),
    "empty": lambda view, request: Response(),
    "bad": lambda view, request: Response({"wrong": 1}, status=400),
    "cookie": cookie,
    "cookie header": lambda view, request: Response({}, headers={"Set-Cookie": "name=Alice"}),
    "stream": stream,
    "csrf": lambda view, request: Response({"token": get_token(request)}),
    "csrf text": lambda view, request: HttpResponse("<input name=csrfmiddlewaretoken>"),
    "no-store": lambda view, request: Response({}, headers={"Cache-Control": "No-Store"}),
    "no-cache": lambda view, request: Response({}, headers={"cache-control": "max-age=3, NO-CACHE"}),
    "private": lambda view, request: Response({}, headers={"Cache-Control": "private"}),
    "vary": lambda view, request: Response({}, headers={"Vary": "Accept, X-Currency"}),
    "vary all": lambda view, request: Response({}, headers={"Vary": "*"}),
    "never_cache": lambda view, request: never_cache(lambda request: Response({}))(request._request),
    "session": lambda view, request: Response({"cart": request.session.get("cart")}),
    "header": lambda view, request: Response({"currency": request.headers.get("X-Currency")}),
    "meta": lambda view, request: Response({"currency": request.META.get("HTTP_X_CURRENCY")}),
    "address": lambda view, request: Response({"from": request.META["REMOTE_ADDR"]}),
    "headers": lambda view, request: Response({"all": len(dict(request.headers))}),
    "cookies": lambda view, request: Response({"cart": request.COOKIES.get("cart")}),
    "user": greeting,
    "user below": lambda view, request: Response({"hello": str(request._request.user)}),
    "who": lambda view, request: Response({"in": request.user.is_authenticated}),
    "same": lambda view, request: Response({"alice": request.user == User(pk=1)}),
    "auth": lambda view, request: Response({"word": request.auth}),
    "means": lambda view, request: Response({"by": type(request.successful_authenticator).__name__}),
    "not found": lambda view, request: Response({}, status=404),
    "http 404": raised(NotFound()),
    "throttled": raised(Throttled()),
}
"""What is never kept for all."""
