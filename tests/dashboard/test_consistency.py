from __future__ import annotations

import os
import re
from typing import Any

import pytest
from django.test import Client

from cachekit import browser, cached, hooks, invalidate
from cachekit.hooks import Audited, Shadowed
from tests.dashboard.people import Login, url
from tests.dashboard.test_overview import row, text_of


def audit(result: str, times: int = 1, seconds: int = 0) -> None:
    for _ in range(times):
        hooks.tell(Audited("default", "function", "shop.top", result, seconds))


def test_who_compares_nothing_sees_no_panel(operator: Client) -> None:
    assert "ck-consistency" not in text_of(operator)


def test_nines_are_shown_by_door_with_what_became_of_mismatches(operator: Client) -> None:
    audit("match", 999)
    audit("mismatch")
    audit("mismatch", seconds=1)
    audit("mended", seconds=5)
    audit("raced", 3)
    audit("unsteady", 2)

    said = row(text_of(operator), "ck-consistency")

    assert "Functions audit 3.0 1,000 1 1 0 0 3 2" in said


def test_without_a_mismatch_the_number_of_comparisons_is_the_bound(operator: Client) -> None:
    for _ in range(100):
        hooks.tell(Shadowed("default", "view", "shop.home", "match"))

    assert "Views shadow mode at least 2.0 100 0 – – – 0 0" in row(text_of(operator), "ck-consistency")


@pytest.mark.parametrize("setting", [{"SHADOW": ["view"]}, {"AUDIT": 1000}])
def test_what_is_switched_on_says_so_before_it_has_counted(
    operator: Client, settings: Any, setting: dict[str, Any]
) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, **setting}

    said = row(text_of(operator), "ck-consistency")

    assert "Nothing was compared yet." in said
    assert ("shadow mode is on" in said) is ("SHADOW" in setting)


def test_a_key_says_what_invalidated_it(login: Login, alias: str) -> None:
    @cached(60, name="top", alias=alias, tags=("shop.product#3", "sessions.session#abcdef"))
    def top() -> int:
        return 1

    invalidate("shop.product#3", why="import", by="<i>ana</i>", alias=alias)
    top()
    invalidate("sessions.session#abcdef", why="login", alias=alias)
    address = url("key", alias, browser.token_of(os.fsencode(top.key_for())))

    page = re.sub(r"\s+", " ", login("operator").get(address).content.decode())

    said = row(page, "ck-trace")
    assert "The entry is now invalidated" in said
    assert "sessions.session… sessions.session login made it stale" in said
    assert "shop.product#3 shop.product import &lt;i&gt;ana&lt;/i&gt; before it was computed" in said
    assert "abcdef" not in page


def test_an_entry_that_nothing_touched_says_so(login: Login, alias: str) -> None:
    @cached(60, name="top", alias=alias)
    def top() -> int:
        return 1

    top()
    page = login("operator").get(url("key", alias, browser.token_of(os.fsencode(top.key_for())))).content.decode()

    assert "None of the invalidations" in row(re.sub(r"\s+", " ", page), "ck-trace")
