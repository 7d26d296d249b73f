"""Visitors and staff: what is cached is fast, never stale and nobody's own."""

from __future__ import annotations

import re

import pytest

from tests.browser.catalogue import LISTING, OTHER_LISTING, change_price, first_product, price
from tests.browser.shop import Shop
from tests.chromium import Window

pytestmark = pytest.mark.browser


def test_a_product_page_is_a_miss_then_a_hit_without_sql(visitor: Window) -> None:
    product = first_product(visitor)

    first, second = visitor.open(product), visitor.open(product)

    assert (first.result, second.result) == ("MISS", "HIT")
    assert first.queries > 0
    assert second.queries == 0
    assert "0 SQL queries" in second.text
    assert first.text.rpartition("This page")[0] == second.text.rpartition("This page")[0]


def test_a_new_price_shows_at_once_where_it_belongs_and_leaves_the_rest_cached(visitor: Window, staff: Window) -> None:
    product = first_product(visitor)
    for path in (LISTING, OTHER_LISTING, product):
        visitor.open(path)
        assert visitor.open(path).result == "HIT", path
    before = price(visitor, product)

    change_price(staff, product, "123.45")

    assert before != "$123.45"
    assert [visitor.open(product).result, price(visitor, product)] == ["MISS", "$123.45"]
    assert visitor.open(product).result == "HIT"
    listing = visitor.open(LISTING)
    assert listing.result == "MISS"
    assert "$123.45" in listing.text
    assert visitor.open(LISTING).result == "HIT"
    other = visitor.open(OTHER_LISTING)
    assert (other.result, other.queries) == ("HIT", 0)
    assert "from $123.45" in visitor.open("/").text


def test_what_staff_see_is_kept_from_visitors(visitor: Window, staff: Window) -> None:
    product = first_product(visitor)
    for path in ("/", LISTING, product):
        staff.open(path)
    assert staff.open(product).result == "BYPASS"

    first, second = visitor.open(product), visitor.open(product)

    assert (first.result, second.result) == ("MISS", "HIT")
    visitor.open("/")
    visitor.open("/sales/")
    assert visitor.context.cookies() == []
    assert "set-cookie" not in second.headers


def test_an_order_takes_the_piece_from_the_shelf(visitor: Window, shop: Shop) -> None:
    product = first_product(visitor, in_stock=True)
    visitor.open(product)
    stock = visitor.page.locator(".stock").inner_text()

    visitor.press("text=Order this stone")
    visitor.page.fill("[name=customer]", "Ada Lund")
    visitor.page.fill("[name=email]", "ada@example.com")
    visitor.page.fill("[name=city]", "Oslo")
    thanks = visitor.press("text=Place the order")

    assert "Thank you, Ada Lund" in thanks.text
    after = visitor.open(product)
    assert after.result == "MISS"
    assert visitor.page.locator(".stock").inner_text() != stock
    assert visitor.open(product).result == "HIT"
    assert re.search(r"By city\n", visitor.open("/sales/").text)


def test_an_order_from_elsewhere_is_refused(visitor: Window) -> None:
    product = first_product(visitor, in_stock=True)

    answer = visitor.context.request.post(f"{product}order/", form={"customer": "Eve", "quantity": "1"})

    assert answer.status == 403
