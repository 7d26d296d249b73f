"""cachekit: strict, and with a near cache."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from benchmarks.peers.base import FRAGMENT, Peer, View

TAGS = ("shop.product#42", "shop.category", "homepage")


class Strict(Peer):
    """Every hit is checked on the server."""

    name, title, package, distribution = "cachekit", "cachekit, strict", "cachekit", "django-cachekit"
    backend = "cachekit.backends.RedisCache"
    apps = ("cachekit",)
    families = frozenset({"values", "awaited", "rows", "functions", "pages", "fragments", "row-memory", "entry-memory"})
    indexes = ("category",)

    def settings(self) -> dict[str, Any]:
        """Return its settings."""
        return {"CACHEKIT": {"TIMEOUT": 3600}}

    def manager(self) -> Any:
        """Return the manager with `.cached()`, whose rows are kept one by one where the release can."""
        from cachekit import CachedManager

        return CachedManager(rows=600) if keeps_rows() else CachedManager()

    def source(self) -> Callable[[], Any]:
        """Return what gives the manager or queryset that a reader writes down."""
        from benchmarks.shop.models import Product

        return lambda: Product.objects.cached(600)

    def row_source(self) -> Callable[[], Any]:
        """Return what gives the manager or queryset that a reader of one row writes down."""
        from benchmarks.shop.models import Product

        return (lambda: Product.objects) if keeps_rows() else self.source()

    def function(self, produce: Callable[[int], Any]) -> Callable[[int], Any]:
        """Return a function of one number, cached while the three things that it depends on stay as they are."""
        from cachekit import cached

        return cached(600, jitter=0, tags=TAGS)(produce)

    def page(self, view: View) -> View:
        """Return the view, cached while the three things that it depends on stay as they are."""
        from cachekit import cached_view

        return cached_view(600, jitter=0, tags=TAGS)(view)

    def fragment(self) -> str:
        """Return the template with cachekit's tag."""
        return '{% load cachekit %}{% cached 600 "sidebar" 42 %}' + FRAGMENT + "{% endcached %}"


class Near(Strict):
    """Hits come from the process; the ledger's channel says what is stale."""

    name, title = "cachekit-near", "cachekit, near"
    families = (Strict.families | {"memory", "result-memory"}) - {"row-memory", "entry-memory"}
    near = True

    def absent(self) -> str:
        """Return why it cannot be measured here."""
        return "" if find_spec("cachekit.near") else "not yet: this release has no near cache"

    def caches(self) -> dict[str, Any]:
        """Return the entry of CACHES."""
        return super().caches() | {"OPTIONS": {"NEAR": True}}

    def settings(self) -> dict[str, Any]:
        """Return its settings."""
        return {"CACHEKIT": {"TIMEOUT": 3600, "NEAR": True}}


class Public(Near):
    """Pages are answered before all other middleware."""

    name, title = "cachekit-public", "cachekit, near, `PublicPages`"
    middleware = ("cachekit.middleware.PublicPages",)
    families = frozenset({"pages"})

    def page(self, view: View) -> View:
        """Return the view, declared to be the same for everybody."""
        from cachekit import cached_view

        return cached_view(600, jitter=0, tags=TAGS, public=True)(view)


def keeps_rows() -> bool:
    """Tell whether this release keeps rows one by one."""
    from cachekit import CachedManager

    return "rows" in inspect.signature(CachedManager.__init__).parameters


PEERS: dict[str, Peer] = {"cachekit": Strict(), "cachekit-near": Near(), "cachekit-public": Public()}
