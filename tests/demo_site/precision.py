"""Warm the shop's pages, edit one product as staff do, and count the pages that stay as they were."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from django.contrib.auth.models import User
from django.forms import model_to_dict
from django.test import Client
from django.utils import timezone

from demo_site.shop.models import Category, Product

FILTERS = ("", "?sort=-carat", "?cut=Ideal", "?color=E")


class Pages(NamedTuple):
    """Addresses of list pages and of product pages."""

    lists: list[str]
    products: list[str]


class Shown(NamedTuple):
    """What a page showed, and how many queries it took."""

    text: str
    queries: int


def pages() -> Pages:
    """Return list pages of every collection and of all, plain, sorted and filtered, and the page of each product."""
    scopes = ["/diamonds/", *(one.get_absolute_url() for one in Category.objects.all())]
    lists = [f"{scope}{query}" for scope in scopes for query in FILTERS]
    return Pages(lists, [one.get_absolute_url() for one in Product.objects.all()])


def shown(visitor: Client, path: str) -> Shown:
    """Ask for a page."""
    answer = visitor.get(path)
    assert answer.status_code == 200
    return Shown(answer.text, int(answer["X-SQL-Queries"]))


def edit(product: Product) -> None:
    """Set a new price in the admin."""
    staff = Client()
    staff.force_login(User.objects.create_superuser(f"staff{product.pk}"))
    at = timezone.localtime(product.added_at)
    form = model_to_dict(product) | {
        "price": product.price + Decimal("1.50"),
        "added_at_0": at.strftime("%Y-%m-%d"),
        "added_at_1": at.strftime("%H:%M:%S.%f"),
    }
    answer = staff.post(f"/admin/shop/product/{product.pk}/change/", form)
    assert answer.status_code == 302, answer.text[:2000]
