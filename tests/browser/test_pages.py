"""Every page: quiet in the console, whole on a phone, usable without scripts."""

from __future__ import annotations

import pytest

from tests.browser.catalogue import LISTING, first_product, number
from tests.browser.conftest import Open
from tests.chromium import Window

pytestmark = pytest.mark.browser

SHOP = ("/", LISTING, f"{LISTING}?cut=Ideal&sort=-price&page=2", "/diamonds/", "/sales/")
ADMIN = (
    "/admin/",
    "/admin/shop/product/",
    "/admin/shop/order/",
    "/admin/cachekit/",
    "/admin/cachekit/cache/",
    "/admin/cachekit/cache/?window=1h",
    "/admin/cachekit/cache/default/keys/",
    "/admin/cachekit/cache/default/keys/?in=beside",
    "/admin/cachekit/cache/purge/",
)
PHONE = {"width": 360, "height": 700}


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_shop_on_a_phone(window: Open, scripts: bool, scheme: str) -> None:
    phone = window(viewport=PHONE, java_script_enabled=scripts, color_scheme=scheme)
    product = first_product(phone, in_stock=True)

    for path in (*SHOP, product, f"{product}order/"):
        assert phone.open(path).status == 200, path
        assert phone.overhang() <= 0, path


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_the_admin_on_a_phone(staff_window: Open, scripts: bool) -> None:
    phone = staff_window(viewport=PHONE, java_script_enabled=scripts)
    product = first_product(phone)

    for path in (*ADMIN, f"/admin/shop/product/{number(product)}/change/"):
        assert phone.open(path).status == 200, path
        assert phone.overhang() <= 0, path


def test_the_icon_is_there_by_either_name(visitor: Window) -> None:
    visitor.open("/")
    named = visitor.page.locator("link[rel=icon]").get_attribute("href")

    for path in (named, "/favicon.ico"):
        answer = visitor.context.request.get(str(path))
        assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml")


def test_a_window_sees_what_goes_wrong(visitor: Window) -> None:
    visitor.open("/")
    visitor.page.evaluate("document.body.append(Object.assign(document.createElement('style'), {textContent: 'p {}'}))")
    visitor.page.evaluate("fetch('/nowhere/')")
    visitor.page.evaluate("setTimeout(() => { throw new Error('oh') })")
    visitor.page.wait_for_timeout(100)

    told = " ".join(visitor.told)
    visitor.told.clear()

    assert "Content Security Policy" in told
    assert "404:" in told
    assert "script: oh" in told
