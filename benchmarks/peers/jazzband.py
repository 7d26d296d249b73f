"""django-redis."""

from __future__ import annotations

from benchmarks.peers.base import Peer


class DjangoRedis(Peer):
    """The backend that most projects use."""

    name, title, package, distribution = "django-redis", "django-redis", "django_redis", "django-redis"
    families = frozenset({"values", "awaited", "functions", "pages", "fragments"})


PEERS = {"django-redis": DjangoRedis()}
