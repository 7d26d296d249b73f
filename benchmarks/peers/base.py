"""What an adapter says of its library; the operations ask it for the parts that differ."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

View = Callable[..., Any]
APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "django.contrib.messages"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
FRAGMENT = "{% for row in rows %}<li>{{ row.name }}: {{ row.price }}</li>{% endfor %}"


class Peer:
    """One library, configured as its documentation advises."""

    name = ""
    title = ""
    package = ""
    """What must be importable."""
    distribution = ""
    """Whose version is told."""
    backend = "django_redis.cache.RedisCache"
    apps: tuple[str, ...] = ()
    middleware: tuple[str, ...] = ()
    """What the library wants in front of Django's own middleware."""
    families: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    """Operations of these families that it cannot do."""
    near = False
    """Whether a hit asks no server, which is proved before it is timed."""
    indexes: tuple[str, ...] = ()

    def absent(self) -> str:
        """Return why it cannot be measured here; nothing if it can."""
        return "" if not self.package or find_spec(self.package) else f"{self.package} is not installed"

    def version(self) -> str:
        """Return the release that is measured."""
        try:
            return version(self.distribution) if self.distribution else ""
        except PackageNotFoundError:
            return ""

    def offers(self, name: str, family: str) -> bool:
        """Say whether it does an operation."""
        return family in self.families and name not in self.without

    def location(self) -> str:
        """Return where its cache is; each library has a database number of its own."""
        return f"redis://127.0.0.1:{os.environ['BENCH_REDIS_PORT']}/{os.environ['BENCH_REDIS_NUMBER']}"

    def caches(self) -> dict[str, Any]:
        """Return the entry of CACHES."""
        return {"BACKEND": self.backend, "LOCATION": self.location(), "TIMEOUT": 3600}

    def settings(self) -> dict[str, Any]:
        """Return the library's own settings."""
        return {}

    def configure(self) -> None:
        """Set Django up."""
        import django
        from django.conf import settings

        database = {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "127.0.0.1",
            "PORT": os.environ.get("BENCH_POSTGRES_PORT", ""),
            "USER": "postgres",
            "NAME": "bench",
            "CONN_MAX_AGE": None,
        }
        settings.configure(
            ALLOWED_HOSTS=["*"],
            CACHES={"default": self.caches()},
            DATABASES={"default": database},
            DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
            INSTALLED_APPS=[*APPS, *self.apps, "benchmarks.shop"],
            MIDDLEWARE=[*self.middleware, *MIDDLEWARE],
            ROOT_URLCONF="benchmarks.families.urls",
            SECRET_KEY="only for measuring " * 3,
            SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
            TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
            USE_TZ=True,
            **self.settings(),
        )
        django.setup()

    def cache(self) -> Any:
        """Return what `get` and `set` are called on."""
        from django.core.cache import caches

        return caches["default"]

    def manager(self) -> Any:
        """Return the manager of the measured model."""
        from django.db import models

        return models.Manager()

    def source(self) -> Callable[[], Any]:
        """Return what gives the manager or queryset that a reader writes down."""
        from benchmarks.shop.models import Product

        return lambda: Product.objects

    def function(self, produce: Callable[[int], Any]) -> Callable[[int], Any]:
        """Return a function of one number, cached as one does by hand."""
        cache = self.cache()

        def kept(number: int) -> Any:
            key = f"product:{number}"
            found = cache.get(key)
            if found is None:
                found = produce(number)
                cache.set(key, found, 600)
            return found

        return kept

    def page(self, view: View) -> View:
        """Return the view, cached."""
        from django.views.decorators.cache import cache_page

        return cache_page(600)(view)

    def row_source(self) -> Callable[[], Any]:
        """Return what gives the manager or queryset that a reader of one row writes down."""
        return self.source()

    def shown(self) -> Any:
        """Return the rows that the fragment shows."""
        from benchmarks.shop.models import Product

        return list(Product._base_manager.order_by("pk")[:50])

    def fragment(self) -> str:
        """Return a template with a cached part."""
        return '{% load cache %}{% cache 600 "sidebar" 42 %}' + FRAGMENT + "{% endcache %}"
