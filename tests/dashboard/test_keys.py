from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.test import Client
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies

from cachekit import browser
from cachekit.core.compressors import compressor_of
from cachekit.core.entry import Header, seal
from cachekit.core.formats import PICKLE, format_of
from cachekit.core.packing import MARK, Packer, Packing, sign
from cachekit.signing import signing_keys
from cachekit.stores import store_for
from tests.dashboard.people import url
from tests.test_browser import everything, fill


def opened(client: Client, raw: bytes, alias: str = "default") -> str:
    page = client.get(url("key", alias, browser.token_of(raw)))
    assert page.status_code == 200
    return page.content.decode()


def put(name: str, data: bytes) -> bytes:
    store: Any = store_for("default")
    raw: bytes = store.key("e", "").encode() + os.fsencode(name)
    store.client.set(raw, data)
    return raw


def entry(payload: bytes) -> bytes:
    return seal(Header(b"epochnow", 1_790_000_000_000_000, 0, 1_790_000_300_000_000, 1_500, b""), payload)


def signed(body: bytes) -> bytes:
    return b"%c%b%b" % (PICKLE, sign(PICKLE, body, signing_keys()[0]), body)


def test_following_the_pages_shows_every_key(operator: Client, alias: str) -> None:
    fill(alias, 230)
    address, seen = url("keys", alias), set()

    while address:
        page = operator.get(address).content.decode()
        seen.update(re.findall(r"<bdi>([^<]+)</bdi></a>", page))
        following = re.search(r'data-testid="ck-next" href="([^"]+)"', page)
        address = url("keys", alias) + following[1].replace("&amp;", "&") if following else ""

    assert len(seen) == 230
    assert "all keys were looked at" in page


def test_an_exact_name_comes_first(operator: Client) -> None:
    caches["default"].set("product:42", 1)

    page = operator.get(url("keys", "default"), {"q": "product:42", "in": "values"}).content.decode()

    assert "Exactly this name" in page
    assert page.index('data-testid="ck-exact"') < page.index('data-testid="ck-rows"')


def test_nothing_is_called_missing_before_everything_was_seen(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = store_for("default").client  # type: ignore[attr-defined]
    client.mset({f"other:{number}": 1 for number in range(5_000)})
    monkeypatch.setattr(browser, "BUDGET", 0)

    page = operator.get(url("keys", "default"), {"q": "missing"}).content.decode()

    assert re.search(r"0 keys so far, looked at [\d,]+ of about 5,00\d", page)
    assert "ck-none" not in page


@pytest.mark.parametrize(
    "query", [{"cursor": "x"}, {"cursor": "-1"}, {"cursor": "9" * 30}, {"in": "x"}, {"q": "[" * 50}]
)
def test_nonsense_in_the_address_is_harmless(operator: Client, query: dict[str, str]) -> None:
    assert operator.get(url("keys", "default"), query).status_code == 200


def test_an_unknown_cache_is_not_found(operator: Client) -> None:
    assert operator.get(url("keys", "nowhere")).status_code == 404
    assert operator.get(url("key", "nowhere", "eA")).status_code == 404


def test_a_key_that_is_gone_says_so(operator: Client) -> None:
    raw = store_for("default").key("e", "never").encode()
    page = operator.get(url("key", "default", browser.token_of(raw)))

    assert page.status_code == 404
    assert "There is no such key (any more)" in page.content.decode()


def test_an_entry_tells_what_it_depends_on(operator: Client) -> None:
    fill("default", 1, "k", "shop.product#1", "shop.order")
    (raw,) = everything("default")

    page = opened(operator, raw)

    assert "shop.order" in page
    assert "&#x27;number&#x27;: 0" in page
    assert "A pickle signed by this site" in page


class Canary:
    """Whoever unpickles it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_looking_never_runs_code(operator: Client, tmp_path: Path) -> None:
    canary, command = tmp_path / "canary", tmp_path / "command"
    bodies = [
        pickle.dumps(Canary(canary)),
        pickle.dumps(Canary(canary), 0),
        b"cos\nsystem\n(S'touch " + os.fsencode(command) + b"'\ntR.",
        b"cbuiltins\neval\n(S'open(" + repr(os.fsencode(command)).encode() + b", chr(119))'\ntR.",
    ]

    for number, body in enumerate(bodies):
        for data in (entry(signed(body)), entry(body), signed(body), body):
            page = opened(operator, put(f"canary{number}", data))
            assert "ck-value" in page

    assert not canary.exists()
    assert not command.exists()


@pytest.mark.parametrize("compressor", ["", "zstd"])
@pytest.mark.parametrize(
    ("codec", "value", "shown", "how"),
    [
        ("pickle", "plain text " * 9, "plain text plain", "Text"),
        ("pickle", {"price": ["x" * 99]}, "price", "A pickle signed"),
        ("json", {"price": ["x" * 99]}, "price", "JSON"),
        ("msgpack", {"price": ["x" * 99]}, "price", "Shown by its structure"),
        ("pickle", None, "None", "Shown by its structure"),
        ("pickle", 7, "7", "An integer"),
    ],
)
def test_a_value_is_shown_whatever_codec_wrote_it(
    operator: Client, codec: str, compressor: str, value: Any, shown: str, how: str
) -> None:
    found = compressor_of(compressor) if compressor else None
    payload = Packer(Packing(format_of(codec), found, 50), signing_keys).dumps(value)

    for name, data in (("entry", entry(payload)), ("value", MARK + payload)):
        page = opened(operator, put(name, data))

        assert how in page
        assert shown in page.partition('data-testid="ck-value"')[2]


def test_an_unsigned_pickle_is_bytes(operator: Client) -> None:
    page = opened(operator, put("foreign", entry(pickle.dumps({"price": 12}))))

    assert "A pickle signed" not in page
    assert "00000000" in page


def test_a_session_shows_neither_its_value_nor_its_name(operator: Client) -> None:
    caches["default"].set("django.contrib.sessions.cacheabcdefghijk", {"_auth_user_id": "1"})
    (raw,) = everything("default", section="values")

    listed = operator.get(url("keys", "default"), {"in": "values"}).content.decode()
    page = opened(operator, raw)

    assert "abcdefghijk" not in listed
    assert browser.token_of(raw) not in listed
    assert "_auth_user_id" not in page
    assert "ck-value-hidden" in page


def test_integers_are_integers(operator: Client) -> None:
    caches["default"].set("views", 4321)
    (raw,) = everything("default", section="values")

    page = opened(operator, raw)

    assert "An integer" in page
    assert "4321" in page


def test_a_large_value_shows_its_start(operator: Client) -> None:
    page = opened(operator, put("large", b"x" * 3_000_000))

    assert "only the start is shown" in page
    assert len(page) < 200_000


@pytest.mark.django_db
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(name=strategies.binary(max_size=300), data=strategies.binary(max_size=300))
def test_any_key_can_be_listed_and_opened(operator: Client, name: bytes, data: bytes) -> None:
    store: Any = store_for("default")
    raw = store.key("e", "").encode() + name
    store.client.flushdb()
    store.client.set(raw, data)

    listed = operator.get(url("keys", "default"))
    page = operator.get(url("key", "default", browser.token_of(raw)))

    assert (listed.status_code, page.status_code) == (200, 200)
    assert b"<script>alert" not in listed.content + page.content


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 }}", "javascript:alert(1)"]
)
def test_names_and_values_are_escaped(operator: Client, text: str) -> None:
    raw = put(text, text.encode())

    pages = opened(operator, raw) + operator.get(url("keys", "default"), {"q": text}).content.decode()

    assert "<script>alert" not in pages
    assert "<img src=x" not in pages
    assert 'href="javascript:' not in pages


def test_redis_away_is_a_sentence(operator: Client, use_cache: Any) -> None:
    use_cache("redis://127.0.0.1:1/0")

    listed = operator.get(url("keys", "default"))
    page = operator.get(url("key", "default", "eA"))

    assert (listed.status_code, page.status_code) == (200, 200)
    assert "does not answer" in listed.content.decode()
    assert "does not answer" in page.content.decode()
