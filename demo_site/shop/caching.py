"""What the shop keeps ready: warmed functions, and the counter that is written behind."""

from __future__ import annotations

from typing import Any

from celery.schedules import crontab
from django.core.cache import cache
from django.db.models import Count, Min

from cachekit import WriteBehindCounter, cached, warmer
from demo_site.shop.models import Category, Product, ProductViews
from demo_site.shop.reports import SalesReport, make_report

SHOWN = 10
RANKING_KEY = "shop.popular"
views_counter = WriteBehindCounter(ProductViews, "count", key="product_id", flush_every=5)


def ranking() -> list[int]:
    """Return the keys of the products that were seen most often."""
    seen = ProductViews.objects.filter(count__gt=0).order_by("-count", "pk")
    return list(seen.values_list("pk", flat=True)[:SHOWN])


@cached(timeout=120)
def popular() -> list[Product]:
    """Return the products that were seen most often: their order is the warmer's last, their prices are never old.

    Counts are flushed every few seconds. A list that read them itself would be stale each time; so the ranking is
    kept under a plain key, and this depends on those rows alone.
    """
    keys = cache.get(RANKING_KEY)
    if keys is None:
        keys = ranking()
    found = Product.objects.in_bulk(keys)
    return [found[key] for key in keys if key in found]


@cached(timeout=600)
def new_arrivals() -> list[Product]:
    """Return the newest products."""
    return list(Product.objects.order_by("-added_at", "-pk")[:SHOWN])


@cached(timeout=600)
def tiles() -> list[dict[str, Any]]:
    """Return every collection with the number of its products and the lowest price."""
    found = Category.objects.annotate(pieces=Count("products"), from_price=Min("products__price"))
    return list(found.order_by("position").values("name", "slug", "blurb", "pieces", "from_price"))


@cached(timeout=3600)
def sales_report() -> SalesReport:
    """Return the sales report; a new order invalidates it."""
    return make_report()


@warmer(every=60)
def home() -> None:
    """Have the home page's parts ready before a visitor asks."""
    cache.set(RANKING_KEY, ranking(), timeout=3600)
    popular()
    new_arrivals()
    tiles()


@warmer(schedule=crontab(minute="*/15"))
def sales() -> None:
    """Make the sales report anew each quarter of an hour."""
    sales_report()
