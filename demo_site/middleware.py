"""What the demo adds to every response: a strict content policy, and what the response cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from django.db import connections
from django.http import HttpRequest, HttpResponseBase

Answer = Callable[[HttpRequest], HttpResponseBase]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class StrictPolicy:
    """Forbid inline scripts and styles and everything from elsewhere, in the admin too."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Add the header."""
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


class CountQueries:
    """Say how many SQL queries a response took, for curl (X-SQL-Queries) and for the browser (Server-Timing)."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Count on every connection while the inner layers answer."""
        tally = Tally()
        began = time.perf_counter()
        with ExitStack() as stack:
            for connection in connections.all():
                stack.enter_context(connection.execute_wrapper(tally))
            response = self.get_response(request)
        milliseconds = (time.perf_counter() - began) * 1000
        response["X-SQL-Queries"] = str(tally.queries)
        response["Server-Timing"] = (
            f'cache;desc="{response.headers.get("X-Cachekit", "")}", '
            f'sql;desc="{tally.queries}", total;dur={milliseconds:.1f}'
        )
        return response


class Tally:
    """An execute wrapper that counts."""

    def __init__(self) -> None:
        self.queries = 0

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """Count one statement, then run it."""
        self.queries += 1
        return execute(sql, params, many, context)
