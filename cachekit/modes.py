"""What the doors of this context do: answer, bypass the cache, refresh it, be its shadow, or compute apart from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from cachekit.core.contexts import put_back

mode: Final[ContextVar[str]] = ContextVar("cachekit_mode", default="")

BYPASSING = frozenset({"bypass", "apart"})
"""Nothing is read from a cache in these, nothing stored; what is computed `apart` is compared, and not counted."""


@contextmanager
def entered(name: str) -> Iterator[None]:
    """Have every door inside do so."""
    token = mode.set(name)
    try:
        yield
    finally:
        put_back(mode, token)
