"""cachalot: every query, invalidated by table."""

from __future__ import annotations

from benchmarks.peers.base import Peer


class Cachalot(Peer):
    """Patches the compiler; its entries are in django-redis's cache."""

    name, title, package, distribution = "cachalot", "cachalot", "cachalot", "django-cachalot"
    apps = ("cachalot",)
    families = frozenset({"rows", "row-memory"})


PEERS = {"cachalot": Cachalot()}
