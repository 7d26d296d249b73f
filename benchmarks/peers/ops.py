"""cacheops: querysets, pages and fragments, invalidated by condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.peers.base import FRAGMENT, Peer, View


class Cacheops(Peer):
    """All operations on the measured app's models."""

    name, title, package, distribution = "cacheops", "cacheops", "cacheops", "django-cacheops"
    apps = ("cacheops",)
    families = frozenset({"rows", "functions", "pages", "fragments", "row-memory"})

    def settings(self) -> dict[str, Any]:
        """Return its settings."""
        return {"CACHEOPS_REDIS": self.location(), "CACHEOPS": {"shop.*": {"ops": "all", "timeout": 3600}}}

    def function(self, produce: Callable[[int], Any]) -> Callable[[int], Any]:
        """Return a function of one number, cached."""
        from cacheops import cached

        kept: Callable[[int], Any] = cached(timeout=600)(produce)
        return kept

    def page(self, view: View) -> View:
        """Return the view, cached for a time as the others are."""
        from cacheops import cached_view

        kept: View = cached_view(timeout=600)(view)
        return kept

    def shown(self) -> Any:
        """Return a queryset: its SQL is what the fragment is kept by."""
        from benchmarks.shop.models import Product

        return Product.objects.filter(category=3)

    def fragment(self) -> str:
        """Return a template whose part depends on the rows that it shows."""
        return '{% load cacheops %}{% cached_as rows 600 "sidebar" 42 %}' + FRAGMENT + "{% endcached_as %}"


PEERS = {"cacheops": Cacheops()}
