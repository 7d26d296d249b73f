"""A page's hit through Django's WSGI handler with the usual middleware, to the closed response."""

from __future__ import annotations

import itertools
from typing import Any

from django.http import HttpRequest, HttpResponse

from benchmarks.families.base import Call, Operation, proved
from benchmarks.peers.base import Peer

BODY = "<p>diamond</p>" * 700
rendered = itertools.count(1)


def view(request: HttpRequest) -> HttpResponse:
    """Return a page of ten thousand characters, and count."""
    next(rendered)
    return HttpResponse(BODY)


def handled(peer: Peer) -> Call:
    """Make an operation that answers a request."""
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import RequestFactory

    handler, environ = WSGIHandler(), dict(RequestFactory().get("/page/", HTTP_HOST="testserver").environ)

    def start(status: str, headers: Any, _: Any = None) -> Any:
        return None

    def call() -> bytes:
        response = handler(dict(environ), start)
        body = b"".join(response)
        response.close()
        return body

    for _ in range(3):
        proved(call() == BODY.encode(), f"{peer.name} answers with another page")
    before, _, after = next(rendered), call(), next(rendered)
    proved((after - before == 1) == (peer.name != "uncached"), f"{peer.name}: the page is no hit")
    return call


OPERATIONS = (Operation("page", "pages", "view hit in the handler", handled),)
