"""The dashboard tells what visitors and staff did, shows keys without trusting them, and purges."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from redis import Redis

from tests.browser.catalogue import LISTING, change_price, first_product, number
from tests.browser.shop import Shop
from tests.chromium import Window

pytestmark = pytest.mark.browser

DASHBOARD = "/admin/cachekit/cache/"
PAGES = "demo_site.shop.views.product_page"


def views(staff: Window) -> list[str]:
    """Return the row of views: ratio, hits, not there, expired, invalidated."""
    staff.open(DASHBOARD)
    row = staff.page.get_by_test_id("ck-doors").locator("tr", has=staff.page.get_by_role("rowheader", name="Views"))
    return row.locator("td").all_inner_texts()[:5]


def open_page_entry(staff: Window) -> None:
    """Search the keys for the entry of the one product page that is cached, and open it."""
    staff.open(f"{DASHBOARD}default/keys/")
    staff.page.get_by_label("Exact name, part of a name, or pattern").fill(PAGES)
    staff.press("text=Search")
    assert staff.page.get_by_test_id("ck-rows").locator("tbody tr").count() == 1
    staff.press("[data-testid=ck-rows] a")


def test_the_numbers_agree_with_what_was_asked(shop: Shop, visitor: Window, staff: Window) -> None:
    staff.open(DASHBOARD)  # has the shop's process send what it counted in other tests
    shop.empty()
    product = first_product(visitor)
    visitor.open(product)
    for _ in range(150):
        assert visitor.context.request.get(product).headers["x-cachekit"] == "HIT"
    change_price(staff, product, "234.50")
    visitor.open(product)
    staff.open(product)

    assert views(staff) == ["98.0 %", "150", "2", "0", "1"]
    told = staff.page.get_by_test_id("ck-invalidations").inner_text()
    assert f"shop.product#{number(product)}" in told
    assert "too few" not in staff.page.get_by_test_id("ck-ratio-default").inner_text()
    assert PAGES in staff.page.get_by_test_id("ck-names").inner_text()


def test_a_pages_entry_is_shown_by_its_structure(visitor: Window, staff: Window) -> None:
    product = first_product(visitor)
    name = visitor.page.locator(".card-price").first.inner_text()
    visitor.open(product)

    open_page_entry(staff)

    facts = staff.page.get_by_test_id("ck-facts").inner_text()
    assert "shop.product (5 rows)" in facts
    assert "minutes" in facts
    value = staff.page.get_by_test_id("ck-value").inner_text()
    assert "no class was loaded and no code was run" in value
    assert name in value


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_planted_pickle_is_shown_and_never_run(shop: Shop, staff: Window, tmp_path: Path) -> None:
    mark = tmp_path / "exploded"
    staff.open("/admin/")
    with Redis.from_url(shop.valkey.url) as client:
        (session,) = client.scan_iter("*:django.contrib.sessions*")
        client.set(session.partition(b"django.contrib")[0] + b"planted", pickle.dumps(Bomb(mark)))

    staff.open(f"{DASHBOARD}default/keys/?q=planted&in=values")
    staff.press("[data-testid=ck-rows] a")

    assert staff.page.get_by_test_id("ck-value").is_visible()
    assert not mark.exists()


def test_purging_a_key_and_a_tag(visitor: Window, staff: Window) -> None:
    product = first_product(visitor)
    tag = f"shop.product#{number(product)}"
    visitor.open(product)
    assert visitor.open(product).result == "HIT"

    open_page_entry(staff)
    staff.press("[data-testid=ck-purge-key]")
    assert "1 key is concerned." in staff.page.get_by_test_id("ck-count").inner_text()
    assert visitor.open(product).result == "HIT"
    done = staff.press("[data-testid=ck-confirm-button]")
    assert "Removed 1 key " in done.text
    assert visitor.open(product).result == "MISS"
    assert visitor.open(LISTING).result == "HIT"

    staff.open(f"{DASHBOARD}purge/")
    staff.page.get_by_label("tag", exact=True).check()
    staff.page.get_by_label("Tag, key or pattern").fill(tag)
    staff.press("[data-testid=ck-preview]")
    assert tag in staff.page.get_by_test_id("ck-confirm").inner_text()
    staff.press("[data-testid=ck-confirm-button]")
    assert visitor.open(product).result == "MISS"
    assert visitor.open(LISTING).result == "MISS"

    assert f"tag {tag}" in staff.open("/admin/").text
