"""Responses as they are kept: without cookies, as bytes in the store and as a pristine object in the process."""

from __future__ import annotations

from functools import lru_cache
from http.cookies import SimpleCookie
from typing import Any

from django.core.signals import setting_changed
from django.http import HttpResponse
from django.http.response import HttpResponseBase, ResponseHeaders

from cachekit.conf import conf
from cachekit.core import copies
from cachekit.core.copiers import Copier
from cachekit.core.copies import Follow, NotCopied
from cachekit.core.packing import PAGE, Packer
from cachekit.exceptions import UncacheableValue
from cachekit.packers import chosen, packing_of
from cachekit.signing import signing_keys

PARTS = frozenset({"headers", "cookies", "closed", "status_code"})
OWN_PARTS = frozenset({"_charset", "_container", "_handler_class", "_reason_phrase", "_resource_closers"})


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
        empty = _empty(rest[:length])
        if not is_pristine(empty):  # a release of Django that we do not know
            return _made(rest[:length], rest[length:])
        made = another(empty)
        vars(made)["_container"] = [rest[length:]]
        return made


@lru_cache(maxsize=256)
def _empty(head: bytes) -> HttpResponse:
    """Return a response without a body; most pages of a site have one of a few heads."""
    return _made(head, b"")


def _made(head: bytes, body: bytes) -> HttpResponse:
    status, reason, *lines = head.decode().split("\n")
    headers = dict(zip(lines[::2], lines[1::2], strict=True))
    return HttpResponse(body, status=int(status), reason=reason, headers=headers)


@lru_cache(maxsize=64)
def page_codec(alias: str, _: str = "") -> Packer:
    """Return the codec of an alias's pages."""
    return Packer(packing_of(chosen(alias))._replace(format=Pages()), signing_keys)


def _forget(*, setting: str, **_: object) -> None:
    if setting in ("CACHES", "CACHEKIT"):
        page_codec.cache_clear()


setting_changed.connect(_forget, dispatch_uid="cachekit.pages")


class Responses(copies.Family):
    """Responses that hold a status, headers and one piece of body, and nothing else."""

    def knows(self, kind: type) -> bool:
        """Tell whether a class is Django's own."""
        return kind is HttpResponse

    def copier(self, value: Any, follow: Follow) -> Copier:
        """Return what makes a response afresh. Raises NotCopied for one that anything has happened to."""
        if not is_pristine(value):
            raise NotCopied
        return another


copies.plug(Responses())


def marked(response: HttpResponseBase, result: str, reason: str = "") -> HttpResponseBase:
    """Say on a response how it came about, where DEBUG_HEADER asks for that."""
    if conf().DEBUG_HEADER:
        response.headers["X-Cachekit"] = f"{result}; reason={reason}" if reason else result
    return response


def is_pristine(response: Any) -> bool:
    """Tell whether a response is as its constructor leaves it, in this release of Django."""
    if type(response) is not HttpResponse or not (own := vars(response)).keys() <= PARTS | OWN_PARTS:
        return False
    if type(response.headers) is not ResponseHeaders or vars(response.headers).keys() != {"_store"}:
        return False
    touched = response.cookies or response.closed or own["_resource_closers"] or own["_handler_class"]
    return not touched and list(map(type, own["_container"])) == [bytes]


def another(response: HttpResponse) -> HttpResponse:
    """Return a response like a pristine one, in a fraction of what its constructor takes; they share the body."""
    made = HttpResponse.__new__(HttpResponse)
    headers = ResponseHeaders.__new__(ResponseHeaders)
    own = vars(response)
    vars(headers)["_store"] = vars(own["headers"])["_store"].copy()
    vars(made).update(own)
    vars(made).update(
        headers=headers, _resource_closers=[], cookies=SimpleCookie(), _container=own["_container"].copy()
    )
    return made
