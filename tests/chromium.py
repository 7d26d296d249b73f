"""A real browser, and windows of it in which nothing goes wrong unnoticed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.servers import Missing
from tests.stages import CHROMES, MAC_CHROME

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Request, Response


def find() -> str:
    """Return the path of the system's Chromium. Raises Missing."""
    found = next(filter(None, map(shutil.which, CHROMES)), None) or (MAC_CHROME.exists() and str(MAC_CHROME))
    if not found or find_spec("playwright") is None:
        raise Missing("needs Chromium (Debian: apt-get install chromium) and Playwright (pip install playwright)")
    return found


def require() -> None:
    """Skip the test where there is no browser, or fail it on a build machine."""
    try:
        find()
    except Missing as missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(missing))


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser. Raises Missing."""
    path = find()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        yield browser
        browser.close()


class Seen(NamedTuple):
    """A page as it arrived."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def result(self) -> str:
        """HIT, MISS or BYPASS, as the page's cache says."""
        return self.headers.get("x-cachekit", "").partition(";")[0]

    @property
    def queries(self) -> int:
        """How many SQL queries it took."""
        return int(self.headers["x-sql-queries"])


class Window:
    """A visitor's window; `told` holds what the console said and every response that was not as it should be."""

    def __init__(self, context: BrowserContext, policy: str) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.page.set_default_timeout(60_000)
        self.told: list[str] = []
        self._policy = policy
        context.on("console", lambda message: self.told.append(f"console: {message.text}"))
        context.on("weberror", lambda error: self.told.append(f"script: {error.error}"))
        context.on("requestfailed", self._failed)
        context.on("response", self._judge)

    def open(self, path: str) -> Seen:
        """Go to a page."""
        return seen(self.page.goto(path), self.page)

    def press(self, selector: str) -> Seen:
        """Click what leads to another page."""
        with self.page.expect_navigation() as coming:
            self.page.click(selector)
        return seen(coming.value, self.page)

    def overhang(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that is left aborts what it still waits for: its icon, say
            self.told.append(f"failed: {request.url} {request.failure}")

    def _judge(self, response: Response) -> None:
        if response.status >= 400:
            self.told.append(f"{response.status}: {response.url}")
        if response.headers.get("content-security-policy") != self._policy:
            self.told.append(f"policy: {response.url} {response.headers.get('content-security-policy')}")


def seen(response: Response | None, page: Page) -> Seen:
    """Return what a navigation brought."""
    assert response is not None
    return Seen(response.status, response.headers, page.locator("body").inner_text())
