"""A shop for all these tests, and windows of a browser on it: a visitor's and one of staff."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.shop import PASSWORD, Shop
from tests.chromium import Window, chromium, require

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Open = Callable[..., Window]
_logged_in: dict[str, Any] = {}


@pytest.fixture(scope="session")
def stocked() -> Iterator[Shop]:
    """The shop, started once, if there is a browser to look at it."""
    require()
    with Shop() as shop:
        yield shop


@pytest.fixture
def shop(stocked: Shop) -> Shop:
    """The shop with nothing in its cache."""
    stocked.empty()
    return stocked


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; for one module, as its event loop would be in the way of the tests of another."""
    with chromium() as found:
        yield found


@pytest.fixture
def window(browser: Browser, shop: Shop) -> Iterator[Open]:
    """`window(**options)` opens a window of somebody new; at the end nothing must have gone wrong in any."""
    from demo_site.middleware import POLICY  # not above: importing the demo chooses its settings

    opened: list[Window] = []
    with ExitStack() as stack:

        def new(**options: Any) -> Window:
            context = browser.new_context(base_url=shop.web.url, **options)
            stack.callback(context.close)
            opened.append(Window(context, POLICY))
            return opened[-1]

        yield new
    assert [told for one in opened for told in one.told] == []


@pytest.fixture
def visitor(window: Open) -> Window:
    """The window of somebody who just comes by."""
    return window()


@pytest.fixture
def staff_window(window: Open) -> Open:
    """`staff_window(**options)` opens a window of staff; the login form is filled in once, its cookies are kept."""

    def new(**options: Any) -> Window:
        if not _logged_in:
            _logged_in.update(log_in(window()).context.storage_state())
        return window(storage_state=_logged_in, **options)

    return new


@pytest.fixture
def staff(staff_window: Open) -> Window:
    """The window of staff."""
    return staff_window()


def log_in(window: Window) -> Window:
    """Fill in the admin's login form."""
    window.open("/admin/")
    window.page.fill("[name=username]", "staff")
    window.page.fill("[name=password]", PASSWORD)
    assert window.press("[type=submit]").status == 200
    window.page.wait_for_selector("#user-tools")
    return window
