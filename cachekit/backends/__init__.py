"""The CACHES door: name `cachekit.backends.RedisCache` or `cachekit.backends.MemoryCache` as a BACKEND."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cachekit.backends.memory import MemoryCache
    from cachekit.backends.redis import RedisCache

__all__ = ["MemoryCache", "RedisCache"]

_HOMES = {"MemoryCache": "cachekit.backends.memory", "RedisCache": "cachekit.backends.redis"}


def __getattr__(name: str) -> Any:
    """Import a backend when it is asked for, so that memory needs no redis. Raises MissingExtra without it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_HOMES[name]), name)
    return found
