"""The sales report: a handful of aggregates over every order line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Avg, Count, DecimalField, F, Max, Q, QuerySet, Sum
from django.db.models.functions import TruncMonth
from django.utils import timezone

from demo_site.shop.models import Order, OrderLine

MONEY = DecimalField(max_digits=14, decimal_places=2)
ZERO = Decimal(0)


@dataclass(frozen=True)
class Row:
    """One line of a table in the report; `share` is its revenue in percent of the greatest."""

    label: str
    orders: int
    revenue: Decimal
    share: int


@dataclass(frozen=True)
class SalesReport:
    """What the report page shows, and what it cost to make."""

    revenue: Decimal
    orders: int
    average: Decimal
    returned_percent: float
    returning_customers: int
    months: tuple[Row, ...]
    collections: tuple[Row, ...]
    cuts: tuple[Row, ...]
    cities: tuple[Row, ...]
    best_sellers: tuple[Mapping[str, Any], ...]
    made_at: datetime
    milliseconds: int


def make_report() -> SalesReport:
    """Read every order line and add it up, in SQL."""
    began = time.perf_counter()
    sold = OrderLine.objects.exclude(order__status=Order.Status.RETURNED).annotate(
        amount=F("quantity") * F("unit_price"), month=TruncMonth("order__placed_at")
    )
    total = sold.aggregate(revenue=Sum("amount", output_field=MONEY), orders=Count("order", distinct=True))
    orders, revenue = total["orders"], total["revenue"] or ZERO
    returned = Order.objects.aggregate(all=Count("pk"), back=Count("pk", filter=Q(status=Order.Status.RETURNED)))
    months = sorted(_grouped(sold, "month"), key=lambda pair: pair[0])[-12:]
    report = {
        "revenue": revenue,
        "orders": orders,
        "average": revenue / orders if orders else ZERO,
        "returned_percent": 100 * returned["back"] / returned["all"] if returned["all"] else 0.0,
        "returning_customers": _returning(),
        "months": _rows([(_month(month), count, amount) for month, count, amount in months]),
        "collections": _rows(_grouped(sold, "product__category__name")),
        "cuts": _rows(_grouped(sold, "product__cut")),
        "cities": _rows(_grouped(sold, "order__city")[:8]),
        "best_sellers": _best_sellers(sold),
    }
    return SalesReport(**report, made_at=timezone.now(), milliseconds=round((time.perf_counter() - began) * 1000))


def _grouped(sold: QuerySet[OrderLine, Any], field: str) -> list[tuple[Any, int, Decimal]]:
    """Return (value, orders, revenue) for each value of `field`, the greatest revenue first."""
    return list(
        sold.order_by()
        .values_list(field)
        .annotate(orders=Count("order", distinct=True), revenue=Sum("amount", output_field=MONEY))
        .order_by("-revenue")
    )


def _rows(groups: list[tuple[Any, int, Decimal]]) -> tuple[Row, ...]:
    top = max((revenue for _, _, revenue in groups), default=ZERO) or Decimal(1)
    return tuple(Row(str(label), orders, revenue, round(100 * revenue / top)) for label, orders, revenue in groups)


def _month(day: datetime | date) -> str:
    return f"{day:%b %Y}"


def _returning() -> int:
    """Count the customers who came back."""
    return Order.objects.order_by().values("email").annotate(n=Count("pk")).filter(n__gt=1).count()


def _best_sellers(sold: QuerySet[OrderLine, Any]) -> tuple[Mapping[str, Any], ...]:
    return tuple(
        sold.order_by()
        .values("product_id", "product__name")
        .annotate(
            pieces=Sum("quantity"),
            revenue=Sum("amount", output_field=MONEY),
            price=Avg("unit_price"),
            last=Max("order__placed_at"),
        )
        .order_by("-revenue")[:10]
    )
