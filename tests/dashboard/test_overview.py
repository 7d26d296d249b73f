from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from cachekit import cached, hooks, invalidate, stats
from cachekit.hooks import Lookup
from cachekit.stores import store_for
from cachekit.warming import run as warm, warmer
from tests.dashboard.people import url
from tests.servers import Valkey


def tell(alias: str, times: int, result: str = "hit", door: str = "view", name: str = "shop.home") -> None:
    for _ in range(times):
        hooks.tell(Lookup(alias, door, name, result))


def text_of(client: Client, **query: str) -> str:
    page = client.get(url("changelist"), query)
    assert page.status_code == 200
    return re.sub(r"\s+", " ", page.content.decode())


def row(page: str, testid: str) -> str:
    """Return the text of a table, or of one cell."""
    found = re.search(rf'<(t\w+)[^>]*data-testid="{testid}".*?</\1>', page)
    assert found is not None, testid
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0]))


def test_a_fresh_site_says_what_to_do(operator: Client, settings: Any) -> None:
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": []}]

    page = text_of(operator, cache="memory")

    assert 'data-testid="ck-empty"' in page
    assert "@cached(timeout=300)" in page


def test_a_project_can_put_its_own_panel_in_place(operator: Client) -> None:
    page = text_of(operator, cache="memory")

    assert 'data-testid="ck-empty"' in page
    assert "Open the shop twice" in page


def test_the_ratio_is_there_at_once(operator: Client) -> None:
    tell("default", 90)
    tell("default", 10, "miss")

    page = text_of(operator, window="1h")

    assert "90.0 %" in row(page, "ck-ratio-default")
    assert "90.0 %" in row(page, "ck-now-default")
    assert "Hit ratio of “default” over the last hour: 90.0 %." in page
    assert "<polyline" in page or 'class="ck-dot"' in page


def test_few_requests_make_no_percentage(operator: Client) -> None:
    tell("default", 37)

    assert "too few requests (37)" in row(text_of(operator), "ck-ratio-default")


def test_all_but_one_hit_is_not_all(operator: Client) -> None:
    tell("default", 99_999)
    tell("default", 1, "miss")

    assert "99.9 %" in row(text_of(operator), "ck-ratio-default")


def test_doors_and_names_are_told_apart(operator: Client) -> None:
    tell("default", 150, door="view")
    tell("default", 50, "stale", door="view", name="shop.product")
    tell("default", 200, door="function", name="top")

    page = text_of(operator)

    assert "Functions 100.0 % 200 0 0 0 0 0" in row(page, "ck-doors")
    assert "Views 75.0 % 150 0 0 50 0 0" in row(page, "ck-doors")
    assert "shop.product Views too few requests (50)" in row(page, "ck-names")
    assert "top" not in row(page, "ck-names")


@pytest.mark.parametrize("window", ["1h", "6h", "24h", "7d", "30d", "nonsense"])
@pytest.mark.parametrize("cache", ["default", "memory", "fake", "nonsense"])
def test_every_window_of_every_cache_opens(operator: Client, window: str, cache: str) -> None:
    tell(cache, 120)

    assert "ck-caches" in text_of(operator, window=window, cache=cache)


def test_invalidations_are_listed_and_marked(operator: Client) -> None:
    tell("default", 1)
    invalidate("homepage", why="import", by="ana", alias="default")

    page = text_of(operator, window="1h")

    assert "just now homepage import ana" in row(page, "ck-invalidations")
    assert 'class="ck-mark"' in page


def test_a_session_key_is_on_no_page(operator: Client) -> None:
    invalidate("sessions.session#abcdefabcdef", "homepage", alias="default")
    invalidate("sessions.session#ghijklghijkl", "sessions.session", alias="default")
    tell("default", 1)

    page = text_of(operator)

    assert "sessions.session…" in page
    assert "ghijkl" not in page
    assert "abcdefabcdef" not in page


def test_the_server_tells_what_it_may(operator: Client) -> None:
    page = row(text_of(operator), "ck-server")

    assert "Memory used" in page
    assert "Valkey" in page
    assert "executable" not in page


def test_warmers_say_when_they_ran(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from cachekit import warming

    monkeypatch.setattr(warming, "_warmers", {})
    warmer(every=60, name="home")(lambda: None)
    warmer(every=60, name="never")(lambda: None)
    warm("home")

    page = row(text_of(operator), "ck-warmers")

    assert re.search(r"home just now \d+\.\d\d s ✔ done", page)
    assert "never has not run yet (every 60 s): either it is not due, or no Celery worker and beat run" in page


@pytest.mark.django_db(transaction=True)
def test_counting_goes_on_in_the_numbers_of_the_page(operator: Client) -> None:
    @cached(timeout=60)
    def answer() -> int:
        return 42

    for _ in range(200):
        answer()

    assert "99.5 %" in row(text_of(operator), "ck-doors")


def test_numbers_in_drawings_are_never_localized(operator: Client, settings: Any) -> None:
    settings.LANGUAGE_CODE = "de"
    settings.USE_THOUSAND_SEPARATOR = True
    tell("default", 1_500)
    tell("default", 1_500, "miss")

    page = text_of(operator).partition("<!-- SVGs -->")[0]

    assert "50,0 %" in page
    assert "1.500" in row(page, "ck-caches")
    for points in re.findall(r'points="([^"]*)"', page):
        assert re.fullmatch(r"(-?\d+(\.\d+)?,-?\d+(\.\d+)? ?)+", points)
    for number in re.findall(r' (?:x|y|x1|x2|y1|y2|width|height|cx|cy|r)="([^"]*)"', page):
        assert re.fullmatch(r"-?\d+(\.\d+)?", number)


def test_names_are_escaped(operator: Client) -> None:
    tell("default", 200, "miss", name="<script>alert(1)</script>")
    invalidate("<b>tag</b>", why="<i>why</i>", by="<u>by</u>", alias="default")

    page = text_of(operator)

    assert not re.search(r"<script>alert|<b>tag|<i>why|<u>by", page)


def test_a_server_that_is_away_is_a_sentence(
    operator: Client, own_valkey: Valkey, use_cache: Callable[..., None]
) -> None:
    use_cache(own_valkey.url, OPTIONS={"SOCKET_CONNECT_TIMEOUT": 0.2, "SOCKET_TIMEOUT": 0.2})
    tell("default", 5)
    with own_valkey.paused():
        stats.flush()

        page = text_of(operator)

    assert "The cache server of “default” does not answer." in page
    assert "compute their values on every request" in page
    assert "too few requests (5)" in row(page, "ck-here")
    assert "answers" in row(page, "ck-caches")  # the one in memory


def test_a_dead_server_takes_no_other_panel_with_it(operator: Client, use_cache: Callable[..., None]) -> None:
    use_cache("redis://127.0.0.1:1/0")
    tell("memory", 200)

    page = text_of(operator, cache="memory")

    assert "The cache server of “default” does not answer." in page
    assert "100.0 %" in row(page, "ck-doors")


def test_without_any_cache_of_ours_the_page_says_which_line_to_write(operator: Client, settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

    page = text_of(operator)

    assert 'data-testid="ck-nothing"' in page
    assert "cachekit.backends.RedisCache" in page


def test_the_overview_asks_little_of_the_server(operator: Client) -> None:
    tell("default", 200)
    client: Any = store_for("default").client  # type: ignore[attr-defined]
    text_of(operator)
    before = client.info("stats")["total_net_output_bytes"], User.objects.count()

    text_of(operator)

    assert client.info("stats")["total_net_output_bytes"] - before[0] < 200_000
