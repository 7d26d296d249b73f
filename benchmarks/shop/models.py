"""One table, with the manager that the measured library wants."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, models

from benchmarks.peers import this

ROWS = 40_000
CATEGORIES = 400


class Product(models.Model):
    """A row of six columns."""

    CACHEKIT_INDEXES = this().indexes
    cache_enabled = True  # what ormcache asks for

    name = models.CharField(max_length=50)
    category = models.IntegerField(db_index=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    stock = models.IntegerField(default=0)
    made = models.DateTimeField()

    objects: Any = this().manager()

    def __str__(self) -> str:
        return self.name


def made(number: int) -> Product:
    """Return the product of that number, not saved."""
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(minutes=number)
    price = Decimal(number % 10_000) / 100
    return Product(pk=number, name=f"diamond {number}", category=number % CATEGORIES, price=price, made=moment)


def fill() -> None:
    """Make the rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO shop_product (id, name, category, price, stock, made) SELECT n, 'diamond ' || n, n %% %s,"
            " n %% 10000 / 100.0, 0, timestamptz '2026-01-01' + n * interval '1 minute' FROM generate_series(1, %s) n",
            [CATEGORIES, ROWS],
        )
        cursor.execute("ANALYZE")
