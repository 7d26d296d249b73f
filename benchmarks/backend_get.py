"""The CACHES door beside django-redis and Django's backend on one server: `python -m benchmarks.backend_get`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import django
from django.conf import settings

from benchmarks.harness import Comparison, Peer, compare, report
from tests.servers import Valkey

BACKENDS = {
    "django-redis": "django_redis.cache.RedisCache",
    "cachekit": "cachekit.backends.RedisCache",
    "django": "django.core.cache.backends.redis.RedisCache",
}
ROWS = [{"id": number, "name": f"row {number}", "price": number * 1.5} for number in range(50)]
KEYS = [f"many:{number}" for number in range(100)]


def configured(url: str) -> dict[str, Any]:
    """Set Django up with one alias a backend on this server, and return their caches."""
    caches = {name: {"BACKEND": path, "LOCATION": url, "KEY_PREFIX": name} for name, path in BACKENDS.items()}
    settings.configure(CACHES=caches | {"default": caches["django-redis"]}, SECRET_KEY="only for measuring " * 3)
    django.setup()
    from django.core.cache import caches as handler

    return {name: handler[name] for name in BACKENDS}


def tasks(caches: Mapping[str, Any]) -> dict[str, tuple[dict[str, Peer], int]]:
    """Return what is compared: for each task its peers, and how many calls make a chunk."""
    for cache in caches.values():
        cache.set("small", "x" * 100, 600)
        cache.set("rows", ROWS, 600)
        cache.set("number", 1, 600)
        cache.set_many(dict.fromkeys(KEYS, "x" * 100), 600)
    many = dict.fromkeys(KEYS, "x" * 100)

    def peers(call: Any) -> dict[str, Peer]:
        return {name: partial(call, cache) for name, cache in caches.items()}

    return {
        "get, 100 characters": (peers(lambda cache: cache.get("small")), 100),
        "get, 50 rows": (peers(lambda cache: cache.get("rows")), 100),
        "get, nothing there": (peers(lambda cache: cache.get("nothing")), 100),
        "set": (peers(lambda cache: cache.set("other", "x" * 100, 600)), 100),
        "incr": (peers(lambda cache: cache.incr("number")), 100),
        "get_many, 100 keys": (peers(lambda cache: cache.get_many(KEYS)), 20),
        "set_many, 100 keys": (peers(lambda cache: cache.set_many(many, 600)), 10),
    }


def main(*, chunks: int = 60) -> list[Comparison]:
    """Start a server, compare, print the table."""
    with Valkey() as server:
        caches = configured(server.url)
        found = [compare(task, peers, chunks=chunks, calls=calls) for task, (peers, calls) in tasks(caches).items()]
    print(report("backend_get", found))
    return found


if __name__ == "__main__":
    main(chunks=15 if "--quick" in sys.argv else 60)
