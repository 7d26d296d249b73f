"""Django's own backend for Redis."""

from __future__ import annotations

from benchmarks.peers.base import Peer


class DjangoRedisCache(Peer):
    """django.core.cache.backends.redis."""

    name, title, package, distribution = "django", "Django's RedisCache", "redis", "django"
    backend = "django.core.cache.backends.redis.RedisCache"
    families = frozenset({"values", "functions", "pages", "fragments"})


PEERS = {"django": DjangoRedisCache()}
