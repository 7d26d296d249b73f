"""The demo's own quick test: a product page comes from the cache the second time."""

from __future__ import annotations

import re
import secrets
import urllib.request
from http.client import HTTPMessage


def problem(site: str) -> str:
    """Ask for a product twice; return what is wrong, or nothing."""
    body, _ = _get(f"{site}/diamonds/")
    found = re.search(rb"/diamond/\d+/", body)
    if found is None:
        return "the list of diamonds shows none."
    page, mark = f"{site}{found.group().decode()}", secrets.token_hex(4)
    # The server keeps its data, so the page may be there from an earlier run: a query string of its own asks anew.
    for expected, queries in (("MISS", None), ("HIT", "0")):
        _, headers = _get(f"{page}?smoke={mark}")
        said, sql = headers.get("X-Cachekit", "nothing"), headers.get("X-SQL-Queries")
        if said != expected or (queries is not None and sql != queries):
            return f"{page} should be a {expected}; it says X-Cachekit: {said}, X-SQL-Queries: {sql}."
    return ""


def _get(url: str) -> tuple[bytes, HTTPMessage]:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own site
        return answer.read(), answer.headers
