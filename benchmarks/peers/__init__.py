"""The libraries that are measured, one module each; none of them imports its library before it is used."""

from __future__ import annotations

import functools
import os
from importlib import import_module

from benchmarks.peers.base import Peer

MODULES = {
    "locmem": "locmem",
    "cachekit": "kit",
    "cachekit-near": "kit",
    "cachekit-public": "kit",
    "django": "django_redis_cache",
    "django-redis": "jazzband",
    "django-valkey": "valkey",
    "cacheops": "ops",
    "cachalot": "lot",
    "ormcache": "orm",
    "uncached": "uncached",
    "redis-py": "raw",
    "socket": "raw",
}
"""In the order of the tables."""


def peer(name: str) -> Peer:
    """Return the adapter of a library."""
    found: Peer = import_module(f"benchmarks.peers.{MODULES[name]}").PEERS[name]
    return found


@functools.cache
def this() -> Peer:
    """Return the adapter of the library that this process measures."""
    return peer(os.environ["BENCH_PEER"])
