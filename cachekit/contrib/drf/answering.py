"""Answers as HTTP wants them: entity tags, dates that can be proven, 304, and what caches on the way may do."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2b
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.http import http_date, parse_etags, parse_http_date_safe

from cachekit.contrib.drf.rules import Rules
from cachekit.core.plans import Answer
from cachekit.specs import place

SECOND = 1_000_000
KEPT_BY_304 = ("Cache-Control", "Content-Location", "ETag", "Expires", "Last-Modified", "Vary")


def dressed(response: HttpResponse, rules: Rules) -> HttpResponse:
    """Add the entity tag, and what browsers and proxies may do with an answer."""
    if "ETag" not in response.headers:
        response.headers["ETag"] = entity_tag(response)
    own = rules.by_user or rules.by_rights
    if "Cache-Control" not in response.headers:
        age = {"max_age": rules.max_age} if rules.max_age else {"no_cache": True}
        patch_cache_control(response, **{"public" if rules.public else "private": True}, **age)
    elif own:
        patch_cache_control(response, private=True)
    patch_vary_headers(response, (*(("Authorization", "Cookie") if own else ()), *rules.headers))
    return response


def entity_tag(response: HttpResponse) -> str:
    """Return a strong entity tag: no two bodies share one."""
    digest = blake2b(response.headers.get("Content-Type", "").encode(), digest_size=16)
    digest.update(b"\n")
    digest.update(response.content)
    return f'"{urlsafe_b64encode(digest.digest())[:22].decode()}"'


def sent(request: Any, answer: Answer, rules: Rules) -> HttpResponseBase:
    """Return an answer as this request wants it: the whole of it, or that it has not changed."""
    response: HttpResponseBase = answer.value
    if answer.born_stale:  # older than what this very client may have seen elsewhere: nobody is to keep it
        patch_cache_control(response, no_store=True)
        return response
    if response.status_code != 200 or "ETag" not in response.headers:
        return response
    modified = last_modified(answer, rules)
    if modified is not None:
        response.headers["Last-Modified"] = http_date(modified)
    return not_modified(response) if has_it(request, response.headers["ETag"], modified) else response


def last_modified(answer: Answer, rules: Rules) -> int | None:
    """Return the second of an entry's read point once the ledger has shown that nothing changed until the next one.

    So two answers with one date are one answer, though dates have seconds only. None where users have answers of their
    own: a client that keeps one by its date must not be told that it is another's.
    """
    if answer.header is None or rules.by_user or rules.by_rights or rules.functions or not _is_anywhere():
        return None
    second = answer.header.read_point // SECOND
    return second if answer.read_point // SECOND > second else None


def _is_anywhere() -> bool:
    """Tell whether language and time zone are the project's, not the visitor's."""
    language, zone = place()
    return language in (None, settings.LANGUAGE_CODE) and zone in (None, timezone.get_default_timezone())


def has_it(request: Any, etag: str, modified: int | None) -> bool:
    """Tell whether the client has this very answer: by its entity tag; without one by its date, to the second."""
    meta = request.META
    if wanted := parse_etags(meta.get("HTTP_IF_NONE_MATCH", "")):
        return wanted == ["*"] or etag.removeprefix("W/") in {one.removeprefix("W/") for one in wanted}
    since = meta.get("HTTP_IF_MODIFIED_SINCE", "")
    return bool(since) and modified is not None and parse_http_date_safe(since) == modified


def not_modified(response: HttpResponseBase) -> HttpResponse:
    """Return a 304 with the headers that it must repeat."""
    found = HttpResponseNotModified()
    for name in KEPT_BY_304:
        if name in response.headers:
            found.headers[name] = response.headers[name]
    return found
