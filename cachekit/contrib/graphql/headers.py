"""Notice which headers a resolver looks at: what they decide must be part of the key."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

from django.http.request import HttpHeaders

from cachekit.core.capture import current

declared: ContextVar[frozenset[str] | None] = ContextVar("cachekit_graphql_headers", default=None)
"""The headers that are part of the key of what is computed here, in lower case; None outside of any resolver."""
FREE = frozenset({"content-type", "content-length"})


class _Meta(dict[str, Any]):
    """What came with a request."""

    def __getitem__(self, name: str) -> Any:
        _note(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        _note(name)
        return super().get(name, default)


class _Headers(HttpHeaders):
    """The headers of a request."""

    def __getitem__(self, name: str) -> str:
        _note(HttpHeaders.to_wsgi_name(name))
        return super().__getitem__(name)


def watch(request: Any, names: Iterable[Any]) -> None:
    """Have what is computed from a header that is not among these names kept out of the cache."""
    declared.set(frozenset(name.lower() for name in names if isinstance(name, str)))
    if not isinstance(request.META, _Meta):
        request.__dict__["headers"] = _Headers(request.META)
        request.META = _Meta(request.META)


def _note(name: str) -> None:
    known, capture = declared.get(), current.get()
    if known is None or capture is None or not name.startswith("HTTP_"):
        return
    header = name.removeprefix("HTTP_").replace("_", "-").lower()
    if header not in known and header not in FREE:
        capture.spoil(f"it reads the header {header}: say vary=({header!r},)")
