"""The doors into the ORM: reads are captured, writes invalidate, querysets answer from the cache."""

from cachekit.orm.compilers import install
from cachekit.orm.managers import CachedManager
from cachekit.orm.outboxes import drained
from cachekit.orm.queries import CachedQuerySet, acached_query, cached_query
from cachekit.orm.snapshots import apart, oldest
from cachekit.orm.transactions import dirty_tags, open_connections, repeated

__all__ = [
    "CachedManager",
    "CachedQuerySet",
    "acached_query",
    "apart",
    "cached_query",
    "dirty_tags",
    "drained",
    "install",
    "oldest",
    "open_connections",
    "repeated",
]
