"""The pages in a real browser, under a strict Content-Security-Policy, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse

from cachekit import cached, hooks, invalidate, stats
from cachekit.hooks import Audited, Lookup
from cachekit.stores import store_for
from cachekit.stores.turns import server_of
from tests.chromium import chromium, require
from tests.dashboard.people import url
from tests.test_browser import everything, fill

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page
    from pytest_django.live_server_helper import LiveServer

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)


def strict(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["Content-Security-Policy"] = POLICY
        return response

    return answer


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require()
    with chromium() as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs in the thread that asks the database
        yield found


def follow(page: Page, leads_on: Locator) -> None:
    """Click what leads to another page, and wait for all of it: in one that still grows a click may miss."""
    with page.expect_navigation():
        leads_on.click()


@pytest.fixture(params=[True, False], ids=["with scripts", "without scripts"])
def page(request: pytest.FixtureRequest, browser: Browser, live_server: LiveServer, settings: Any) -> Iterator[Page]:
    """A page of somebody logged in; whatever the console says fails the test."""
    settings.MIDDLEWARE = [f"{__name__}.strict", *settings.MIDDLEWARE]
    User.objects.create_superuser("ana", password="secret")
    context = browser.new_context(base_url=live_server.url, java_script_enabled=request.param)
    context.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    found, told = context.new_page(), []
    found.on("console", lambda message: told.append(message.text))
    found.on("pageerror", lambda error: told.append(str(error)))
    found.on("response", lambda answer: told.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
    found.goto(url("changelist"))
    found.fill("[name=username]", "ana")
    found.fill("[name=password]", "secret")
    follow(found, found.locator("[type=submit]"))
    found.wait_for_selector(".ck")
    yield found
    context.close()
    assert told == []


def test_from_the_ratio_to_a_purge(page: Page) -> None:
    stats.forget()  # what threads of earlier tests have counted while the browser signed in
    server: Any = server_of(store_for("default"))
    for key in server.keys("*:stats:*"):  # and what they have written by then
        server.delete(key)
    for _ in range(150):
        hooks.tell(Lookup("default", "view", "shop.home", "hit"))
    hooks.tell(Lookup("default", "view", "shop.home", "miss"))
    invalidate("homepage", why="import", by="ana", alias="default")
    fill("default", 5)

    page.goto(url("changelist"))
    assert page.get_by_test_id("ck-ratio-default").inner_text() == "99.3 %"
    assert "homepage" in page.get_by_test_id("ck-invalidations").inner_text()
    page.get_by_text("The same as a table").click()
    assert "99.3 %" in page.get_by_test_id("ck-chart-table").inner_text()

    follow(page, page.get_by_role("link", name="Keys default"))
    follow(page, page.get_by_test_id("ck-rows").get_by_role("link").first)
    assert "number" in page.get_by_test_id("ck-value").inner_text()
    follow(page, page.get_by_test_id("ck-purge-key"))
    assert "1 key is concerned." in page.get_by_test_id("ck-count").inner_text()
    assert len(everything("default")) == 5
    follow(page, page.get_by_test_id("ck-confirm-button"))
    assert "Removed" in page.locator(".messagelist").inner_text()
    assert len(everything("default")) == 4

    page.get_by_label("pattern", exact=True).check()
    page.get_by_label("Tag, key or pattern").fill("*")
    follow(page, page.get_by_test_id("ck-preview"))
    follow(page, page.get_by_test_id("ck-confirm-button"))
    assert everything("default") == []
    assert "pattern “*”" in page.get_by_test_id("ck-purges").inner_text()


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_no_page_scrolls_sideways(page: Page, width: int) -> None:
    hooks.tell(Lookup("default", "view", "a" * 150, "miss"))
    fill("default", 3, "k" * 150)
    page.set_viewport_size({"width": width, "height": 700})

    for address in (url("changelist"), url("keys", "default"), url("purge")):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address


def test_consistency_is_shown_and_a_key_says_what_invalidated_it(page: Page) -> None:
    hooks.tell(Lookup("default", "function", "top", "hit"))
    for result, times in {"match": 999, "mismatch": 1, "raced": 3}.items():
        for _ in range(times):
            hooks.tell(Audited("default", "function", "top", result, 0))
    hooks.tell(Audited("default", "function", "top", "mismatch", 1))
    cached(60, name="top", tags=("shop.product#3",))(list)()
    invalidate("shop.product#3", why="import", by="ana", alias="default")

    page.goto(url("changelist"))
    assert "Functions\taudit\t3.0\t1,000\t1\t1" in page.get_by_test_id("ck-consistency").inner_text()

    page.goto(url("keys", "default"))
    follow(page, page.get_by_test_id("ck-rows").get_by_role("link").first)
    assert "made it stale" in page.get_by_test_id("ck-trace").inner_text()


def test_a_server_that_is_away_shows_a_page(page: Page, use_cache: Any) -> None:
    use_cache("redis://127.0.0.1:1/0")

    page.goto(url("changelist"))

    assert "does not answer" in page.get_by_test_id("ck-problem").inner_text()
