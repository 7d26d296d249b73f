"""Read the shipped table of diamonds and make the shop's rows of it; what the table lacks comes from a fixed seed."""

from __future__ import annotations

import csv
import io
import lzma
import random
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path

from demo_site.shop.grades import COLLECTIONS, collection_of
from demo_site.shop.models import Category, Order, OrderLine, Product

TABLE = Path(__file__).parent / "data" / "diamonds.csv.xz"
ROWS = 53_940
SEED = 20
YEAR = timedelta(days=365)
FIRST_NAMES = ("Ada", "Amir", "Beatriz", "Chen", "Dilnoza", "Emeka", "Freya", "Giulia", "Hana", "Ivo", "Jonas", "Keiko")
LAST_NAMES = (
    "Abebe",
    "Brandt",
    "Castro",
    "Dubois",
    "Evans",
    "Farouk",
    "Greco",
    "Horvat",
    "Ito",
    "Jansen",
    "Kim",
    "Lund",
)
CITIES = {
    "New York": 22, "London": 18, "Antwerp": 15, "Mumbai": 13, "Dubai": 11, "Tokyo": 10,
    "Berlin": 8, "Lagos": 6, "São Paulo": 6, "Toronto": 5, "Lisbon": 4, "Oslo": 3,
}  # fmt: skip


def categories() -> list[Category]:
    """Return the collections, unsaved."""
    return [Category(name=one.name, slug=one.slug, blurb=one.blurb, position=i) for i, one in enumerate(COLLECTIONS)]


def rows(limit: int | None = None) -> Iterator[dict[str, str]]:
    """Yield the table's rows; a limit takes every n-th, so that a small shop has all kinds."""
    step = max(1, ROWS // limit) if limit else 1
    with lzma.open(TABLE) as packed, io.TextIOWrapper(packed, encoding="utf-8", newline="") as text:
        yield from islice(csv.DictReader(text), 0, limit * step if limit else None, step)


def product(row: Mapping[str, str], category_ids: Mapping[str, int], rng: random.Random, now: datetime) -> Product:
    """Return the product of a row, unsaved."""
    carat = Decimal(row["carat"])
    measures = {name: Decimal(row[name]) for name in ("depth", "table", "x", "y", "z")}
    return Product(
        sku=f"D{int(row['']):05d}",
        name=f"{carat:.2f} carat {row['cut']}, {row['color']}, {row['clarity']}",
        category_id=category_ids[collection_of(carat).slug],
        price=Decimal(row["price"]),
        stock=rng.choices((0, 1, 2, 3, 5, 8), (2, 30, 25, 20, 15, 8))[0],
        carat=carat,
        cut=row["cut"],
        color=row["color"],
        clarity=row["clarity"],
        added_at=now - YEAR * rng.random(),
        **measures,
    )


def orders(count: int, rng: random.Random, now: datetime) -> Iterator[Order]:
    """Yield orders of the last year, unsaved: more of late, more in December, a few customers again and again."""
    for _ in range(count):
        customer = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
        address = f"{customer.lower().replace(' ', '.')}{int(rng.paretovariate(0.35)) % 400}@example.com"
        age = YEAR * (1 - rng.random() ** 0.7)
        if rng.random() < 0.06:
            age = (now - datetime(now.year - 1, 12, 1 + rng.randrange(24), rng.randrange(24), tzinfo=now.tzinfo)) % YEAR
        yield Order(
            customer=customer,
            email=address,
            city=rng.choices(list(CITIES), list(CITIES.values()))[0],
            status=_status(age, rng),
            placed_at=now - age,
        )


def lines(placed: list[Order], prices: list[tuple[int, Decimal]], rng: random.Random) -> Iterator[OrderLine]:
    """Yield one to three lines an order, unsaved; cheaper stones sell more often."""
    for order in placed:
        for _ in range(rng.choices((1, 2, 3), (75, 18, 7))[0]):
            pk, price = prices[int(len(prices) * rng.random() ** 1.6)]
            yield OrderLine(order=order, product_id=pk, quantity=rng.choices((1, 2), (92, 8))[0], unit_price=price)


def _status(age: timedelta, rng: random.Random) -> str:
    if rng.random() < 0.04:
        return Order.Status.RETURNED
    return Order.Status.PAID if age < timedelta(days=2) else Order.Status.SHIPPED
