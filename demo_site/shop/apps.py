"""The shop's entry in INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig

from cachekit import metrics


class ShopConfig(AppConfig):
    """The shop."""

    name = "demo_site.shop"
    label = "shop"
    verbose_name = "Diamond shop"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Count what the caches are asked in /metrics."""
        metrics.install()
