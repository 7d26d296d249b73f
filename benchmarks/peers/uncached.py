"""No cache at all: what the others save."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.base import FRAGMENT, Peer, View


class Uncached(Peer):
    """PostgreSQL, a view that returns a constant, and a template without a cached part."""

    name, title, package, distribution = "uncached", "uncached", "psycopg", "psycopg"
    families = frozenset({"rows", "pages", "fragments"})

    def caches(self) -> dict[str, Any]:
        """Return the entry of CACHES."""
        return {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}

    def page(self, view: View) -> View:
        """Return the view as it is."""
        return view

    def fragment(self) -> str:
        """Return the template without a cache."""
        return FRAGMENT


PEERS = {"uncached": Uncached()}
