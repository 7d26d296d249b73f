"""What an API's answer costs, kept in several ways: `python -m benchmarks.drf`.

The demo's products, from the view's function to a rendered response: a list of 24, one of them, and the list with a
method in the serializer that asks the database for each. In rounds of all ways, their order drawn anew; medians in µs.
`cache_page` is Django's, and much what drf-extensions does: one answer for everybody until the timeout, whatever is
written. With `fragments` the view is not kept, what becomes of each product is.
"""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from tests.servers import Valkey

ROUNDS = 200
WAYS = ("uncached", "cache_page", "fragments", "kept", "kept near", "not modified")
LISTED = "/api/products/?category=classic"
Act = Callable[[], Any]


def configured(valkey: Valkey) -> None:
    """Set Django up with this server, and fill the shop."""
    os.environ |= {
        "CACHEKIT_TEST_REDIS_URL": valkey.url,
        "CACHEKIT_TEST_FOLDER": str(valkey.folder),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connections

    for one in connections.all():
        one.creation.create_test_db(verbosity=0, autoclobber=True)
    call_command("load_diamonds", limit=2000, verbosity=0)


def acts(path: str, serializer: Any, **kwargs: Any) -> dict[str, Act]:
    """Return what to time, by way."""
    from django.test import RequestFactory
    from django.views.decorators.cache import cache_page

    from cachekit import uncached
    from cachekit.contrib.drf import CachedSerializerMixin
    from demo_site.shop.api import Products

    def view(near: bool = False, actions: Any = Products.cache_actions, base: Any = serializer) -> Any:
        options = {**Products.cache_options, "near": near}
        own = {"cache_options": options, "cache_actions": actions, "serializer_class": base}
        kind: Any = type(f"Products{near}{len(actions)}{base.__name__}", (Products,), own)
        return kind.as_view({"get": "retrieve" if kwargs else "list"}, detail=bool(kwargs))

    def asking(view: Any, around: Any = contextlib.nullcontext, **headers: str) -> Act:
        def act() -> Any:
            with around():
                response = view(RequestFactory().get(path, headers=headers), **kwargs)
                return response.render() if hasattr(response, "render") else response

        return act

    fragments = type("Kept", (CachedSerializerMixin, serializer), {"cache_timeout": 600})
    plain, kept = view(actions={}), view()
    found = {
        "uncached": asking(plain, uncached),
        "cache_page": asking(cache_page(600, key_prefix=serializer.__name__)(plain)),
        "fragments": asking(view(actions={}, base=fragments)),
        "kept": asking(kept),
        "kept near": asking(view(near=True)),
        "not modified": asking(kept, if_none_match=asking(kept)()["ETag"]),
    }
    bodies = {found[way]().content for way in WAYS if way != "not modified"}
    assert len(bodies) == 1, "all ways answer the same"
    assert found["not modified"]().status_code == 304
    return found


def measured(ways: dict[str, Act]) -> dict[str, float]:
    """Return the median of each way in microseconds."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    draw = random.Random(1)
    for _ in range(ROUNDS):
        for way in draw.sample(list(ways), len(ways)):
            began = time.perf_counter()
            ways[way]()
            times[way].append((time.perf_counter() - began) * 1e6)
    return {way: statistics.median(one) for way, one in times.items()}


def counted() -> Any:
    """Return a serializer that asks the database for each product."""
    from rest_framework import serializers

    from demo_site.shop.api import ProductSerializer

    class Counted(ProductSerializer):
        orders = serializers.SerializerMethodField()

        class Meta(ProductSerializer.Meta):
            fields = (*ProductSerializer.Meta.fields, "orders")  # type: ignore[assignment]

        def get_orders(self, product: Any) -> int:
            return int(product.order_lines.count())

    return Counted


def main() -> None:
    """Measure and print."""
    with Valkey() as valkey:
        configured(valkey)
        from demo_site.shop.api import ProductSerializer
        from demo_site.shop.models import Product

        pk = Product.objects.values_list("pk", flat=True)[0]
        asked = {
            "list of 24": measured(acts(LISTED, ProductSerializer)),
            "one": measured(acts(f"/api/products/{pk}/", ProductSerializer, pk=pk)),
            "each asks": measured(acts(LISTED, counted())),
        }
        print(f"{'µs':14}" + "".join(f"{name:>12}" for name in asked))
        for way in WAYS:
            print(f"{way:14}" + "".join(f"{one[way]:12.0f}" for one in asked.values()))


if __name__ == "__main__":
    main()
