"""Take the pictures of the docs from the running demo: `DEMO_PASSWORD=… make screenshots`."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
CHROMES = ("chromium", "chromium-browser", "google-chrome")
LISTS = ("", "diamonds/", "diamonds/?cut=ideal", "diamonds/?sort=price", "sales/")


def main() -> int:
    """Visit the shop, change a price, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://localhost:8000", help="where the demo runs")
    url = str(parser.parse_args().url).rstrip("/")
    password = os.environ.get("DEMO_PASSWORD")
    if not password:
        parser.error("say the staff password: DEMO_PASSWORD=… make screenshots")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        program = next(filter(None, map(shutil.which, CHROMES)), None)
        browser = driver.chromium.launch(executable_path=program)
        shop(browser, url)
        staff(browser, url, password)
        browser.close()
    return 0


def shop(browser: Browser, url: str) -> None:
    """Look around as visitors do: some pages often, others once."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    chance = random.Random(7)  # noqa: S311 - the same visitors each time
    for _ in range(400):
        path = chance.choice([*LISTS, *[f"diamond/{int(chance.paretovariate(0.7))}/"] * 6])
        page.request.get(f"{url}/{path}")
    picture(page, f"{url}/diamonds/", "shop")
    picture(page, f"{url}/diamond/1/", "product")


def staff(browser: Browser, url: str, password: str) -> None:
    """Change a price, look at the dashboard, a key and a purge."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{url}/admin/")
    page.fill("#id_username", "staff")
    page.fill("#id_password", password)
    page.click("input[type=submit]")
    page.click("#toggle-nav-sidebar")
    for pk in (1, 2, 3):
        page.goto(f"{url}/admin/shop/product/{pk}/change/")
        page.fill("#id_price", str(300 + pk))
        page.click("input[name=_save]")
    visitor = browser.new_page()
    for number in range(200):
        visitor.request.get(f"{url}/diamond/{1 + number % 40}/")
    page.wait_for_timeout(11_000)  # every process has reported by then
    picture(page, f"{url}/admin/cachekit/cache/", "dashboard")
    picture(page, f"{url}/admin/cachekit/cache/default/keys/?q=product", "keys")
    page.goto(f"{url}/admin/cachekit/cache/purge/?by=tag&what=shop.product%231")
    page.click("form input[type=submit], form button[type=submit] >> nth=-1")
    page.screenshot(path=IMAGES / "purge.png")


def picture(page: Page, address: str, name: str) -> None:
    """Open a page and keep what one sees of it."""
    page.goto(address)
    page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
