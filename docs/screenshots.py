"""Take the pictures of the docs from a demo shop of its own: `make screenshots`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.shop import PASSWORD, Shop
from tests.chromium import chromium
from tests.servers import Missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

IMAGES = Path(__file__).parent / "images"
STONES = 53_940
LARGEST = 200 * 1024
SIZE: ViewportSize = {"width": 1280, "height": 800}
TALL: ViewportSize = {"width": 1280, "height": 1740}
"""Down to the latest invalidations."""
DASHBOARD = "/admin/cachekit/cache/"
CLOSED_SIDEBAR = "localStorage.setItem('django.admin.navSidebarIsOpen', 'false')"
PLAIN = ".hero { background: var(--sheet) !important }"
"""A gradient as large as the page's would double the file."""

TRAFFIC = "import django; django.setup(); from docs.traffic import write; write()"


def main() -> int:
    """Start a shop, visit it, take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    try:
        with Shop(STONES) as shop, chromium() as browser:
            shop.run(TRAFFIC)
            product = visit(window(browser, shop))
            work(window(browser, shop), product)
    except Missing as missing:
        sys.stderr.write(f"The pictures cannot be taken: {missing}\n")
        return 1
    return 0


def window(browser: Browser, shop: Shop) -> Page:
    """Open a window that looks the same everywhere; the shop's policy does not bind the camera."""
    context = browser.new_context(
        base_url=shop.web.url, viewport=SIZE, color_scheme="light", locale="en", bypass_csp=True
    )
    context.add_init_script(CLOSED_SIDEBAR)
    return context.new_page()


def visit(page: Page) -> str:
    """Look around as visitors do, each page twice, so that it is shown from the cache; return a product's key."""
    page.goto("/diamonds/grand/?cut=Ideal&color=D")
    product = str(page.locator(".card a").first.get_attribute("href"))
    for number in range(300):
        page.request.get(f"/diamond/{1 + number % 40}/")
    for path, name in (("/", "shop"), ("/diamonds/grand/?cut=Ideal", "listing"), (product, "product")):
        page.goto(path)
        page.goto(path)
        keep(page, name)
    return product.strip("/").rpartition("/")[2]


def work(page: Page, product: str) -> None:
    """Log in, change a price, look at the dashboard and its keys, and ask what a purge would take."""
    page.goto(f"/admin/shop/product/{product}/change/")
    page.fill("[name=username]", "staff")
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    page.fill("[name=price]", "4875")
    page.click("[name=_save]")
    page.request.get(f"/diamond/{product}/")
    page.set_viewport_size(TALL)
    page.goto(DASHBOARD)
    keep(page, "dashboard")
    page.set_viewport_size(SIZE)
    page.goto(f"{DASHBOARD}default/keys/")
    keep(page, "keys")
    page.goto(f"{DASHBOARD}purge/?by=tag&what=shop.product%2320")
    page.get_by_test_id("ck-preview").click()
    page.get_by_test_id("ck-confirm").wait_for()
    keep(page, "purge")


def keep(page: Page, name: str) -> None:
    """Write what the window shows. Raises ValueError for a file that is too large for a repository."""
    page.mouse.move(0, 0)
    path = IMAGES / f"{name}.png"
    size = len(page.screenshot(path=path, style=PLAIN, animations="disabled", caret="hide"))
    if size > LARGEST:
        raise ValueError(f"{path} has {size:,} bytes, more than {LARGEST:,}: show less on it.")
    sys.stdout.write(f"{path.name}: {size:,} bytes\n")


if __name__ == "__main__":
    sys.exit(main())
