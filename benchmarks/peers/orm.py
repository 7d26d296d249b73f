"""ormcache: rows asked for by primary key."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.base import Peer


class Ormcache(Peer):
    """A manager whose `get(pk=…)` looks into django-redis's cache."""

    name, title, package, distribution = "ormcache", "ormcache", "ormcache", "django-ormcache"
    apps = ("ormcache",)
    families = frozenset({"rows", "row-memory"})
    without = frozenset({"filter", "count"})

    def manager(self) -> Any:
        """Return its manager."""
        from django.db import models
        from ormcache.managers import CachedManagerMixin

        return type("CachedManager", (CachedManagerMixin, models.Manager), {})()


PEERS = {"ormcache": Ormcache()}
