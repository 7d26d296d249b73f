"""What visitors and staff do in the shop."""

from __future__ import annotations

from tests.chromium import Window

LISTING = "/diamonds/classic/"
OTHER_LISTING = "/diamonds/grand/"


def first_product(window: Window, *, in_stock: bool = False) -> str:
    """Return the address of the first product on the list page, without asking for it."""
    window.open(LISTING)
    cards = window.page.locator(".card", has_not_text="Sold out" if in_stock else None)
    return str(cards.first.locator("a").get_attribute("href"))


def number(product: str) -> str:
    """Return a product's key."""
    return product.strip("/").rpartition("/")[2]


def price(window: Window, product: str) -> str:
    """Return the price on a product's page, which is opened unless it is already."""
    if not window.page.url.endswith(product):
        window.open(product)
    return window.page.locator("#price").inner_text()


def change_price(staff: Window, product: str, amount: str) -> None:
    """Write a price into the admin's form."""
    staff.open(f"/admin/shop/product/{number(product)}/change/")
    staff.page.fill("[name=price]", amount)
    staff.press("[name=_save]")
    assert "was changed successfully" in staff.page.locator(".messagelist").inner_text()
