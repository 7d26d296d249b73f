"""The cache's server stops in the middle: visitors do not notice, staff are told, nothing is stale afterwards."""

from __future__ import annotations

import time

import pytest

from tests.browser.catalogue import LISTING, change_price, first_product, price
from tests.browser.shop import Shop
from tests.chromium import Seen, Window

pytestmark = pytest.mark.browser

DASHBOARD = "/admin/cachekit/cache/"


def open_until_hit(window: Window, path: str, seconds: float = 30) -> list[Seen]:
    """Open a page until it is a hit, ten seconds after a restart perhaps; return how it looked each time."""
    end, pages = time.monotonic() + seconds, [window.open(path)]
    while pages[-1].result != "HIT":
        assert time.monotonic() < end, [page.result for page in pages]
        window.page.wait_for_timeout(100)
        pages.append(window.open(path))
    return pages


def test_pages_outlive_their_cache(shop: Shop, visitor: Window, staff: Window) -> None:
    product = first_product(visitor)
    for path in (LISTING, product):
        visitor.open(path)
        assert visitor.open(path).result == "HIT"

    shop.valkey.halt()
    try:
        for path in ("/", LISTING, "/sales/", product):
            assert visitor.open(path).status == 200
        change_price(staff, product, "345.60")
        assert visitor.open(product).result == "MISS"
        assert price(visitor, product) == "$345.60"
        assert "$345.60" in visitor.open(LISTING).text
        assert "does not answer" in staff.open(DASHBOARD).text
        assert "cannot be shown" in staff.open(f"{DASHBOARD}default/keys/").text
    finally:
        shop.valkey.start()

    for path in (product, LISTING):
        assert all("$345.60" in page.text for page in open_until_hit(visitor, path))
    assert "does not answer" not in staff.open(DASHBOARD).text
