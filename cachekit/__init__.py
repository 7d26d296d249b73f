"""Caching for Django that is never stale after a commit."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cachekit.core.missing import MISSING
    from cachekit.core.policy import Policy
    from cachekit.engine import ainvalidate, invalidate, uncached
    from cachekit.functions import cached
    from cachekit.localcaches import local
    from cachekit.memos import memo
    from cachekit.orm import CachedManager, CachedQuerySet, acached_query, cached_query
    from cachekit.pages import cached_view
    from cachekit.readthrough import ReadThrough
    from cachekit.tenants import tenant
    from cachekit.warming import warmer
    from cachekit.writebehind import WriteBehindCounter
    from cachekit.writethrough import write_through

__version__ = "0.1.0"

__all__ = [
    "MISSING",
    "CachedManager",
    "CachedQuerySet",
    "Policy",
    "ReadThrough",
    "WriteBehindCounter",
    "acached_query",
    "ainvalidate",
    "cached",
    "cached_query",
    "cached_view",
    "invalidate",
    "local",
    "memo",
    "tenant",
    "uncached",
    "warmer",
    "write_through",
]

_HOMES = {
    "CachedManager": "cachekit.orm",
    "CachedQuerySet": "cachekit.orm",
    "MISSING": "cachekit.core.missing",
    "Policy": "cachekit.core.policy",
    "ReadThrough": "cachekit.readthrough",
    "WriteBehindCounter": "cachekit.writebehind",
    "acached_query": "cachekit.orm",
    "ainvalidate": "cachekit.engine",
    "cached": "cachekit.functions",
    "cached_query": "cachekit.orm",
    "cached_view": "cachekit.pages",
    "invalidate": "cachekit.engine",
    "local": "cachekit.localcaches",
    "memo": "cachekit.memos",
    "tenant": "cachekit.tenants",
    "uncached": "cachekit.engine",
    "warmer": "cachekit.warming",
    "write_through": "cachekit.writethrough",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: models need the app registry, which is not ready at first."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cachekit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
