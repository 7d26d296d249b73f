"""Fill the shop, once."""

from __future__ import annotations

import random
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from demo_site.shop import catalogue
from demo_site.shop.models import Category, Order, OrderLine, Product
from demo_site.shop.progress import Progress

T = TypeVar("T")
BATCH = 2_000
ORDERS_A_PRODUCT = 0.3


class Command(BaseCommand):
    """Load the catalogue of diamonds and a year of orders, unless they are there."""

    help = "Load the catalogue of diamonds and a year of orders, unless they are there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take a limit."""
        parser.add_argument("--limit", type=int, help=f"load so many stones instead of all {catalogue.ROWS:,}")

    def handle(self, *args: Any, **options: Any) -> None:
        """Load what is missing, all or nothing."""
        limit = options["limit"]
        if limit is not None and not 0 < limit <= catalogue.ROWS:
            raise CommandError(f"--limit must be between 1 and {catalogue.ROWS:,}, not {limit}.")
        with transaction.atomic():
            if Product.objects.exists():
                self.stdout.write(f"The shop is stocked already: {Product.objects.count():,} stones.")
                return
            self.load(limit)

    def load(self, limit: int | None) -> None:
        """Write categories, products, orders and their lines."""
        now, rng = timezone.now(), random.Random(catalogue.SEED)
        Category.objects.bulk_create(catalogue.categories(), ignore_conflicts=True)
        ids = dict(Category.objects.values_list("slug", "pk"))
        made = (catalogue.product(row, ids, rng, now) for row in catalogue.rows(limit))
        for batch in self.progress("Diamonds", limit or catalogue.ROWS, made):
            Product.objects.bulk_create(batch)
        prices = list(Product.objects.order_by("price", "pk").values_list("pk", "price"))
        count = round(len(prices) * ORDERS_A_PRODUCT)
        for placed in self.progress("Orders", count, catalogue.orders(count, rng, now)):
            OrderLine.objects.bulk_create(catalogue.lines(Order.objects.bulk_create(placed), prices, rng))

    def progress(self, label: str, total: int, made: Iterable[T]) -> Iterator[list[T]]:
        """Yield what is made in batches, showing how far it is."""
        stream = iter(made)
        batches = iter(lambda: list(islice(stream, BATCH)), [])
        return Progress(label, total, self.stdout).over(batches)
