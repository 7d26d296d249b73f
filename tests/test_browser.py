from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import caches
from hypothesis import given, strategies

from cachekit import browser, invalidate
from cachekit.core.dependencies import encode
from cachekit.core.entry import NEVER, Header, seal
from cachekit.core.steps import Save
from cachekit.exceptions import InvalidKey
from cachekit.signing import pickles
from cachekit.stores import Store, store_for
from cachekit.stores.listing import MemoryListing, listing_for
from tests.servers import Valkey


def fill(alias: str, number: int, prefix: str = "k", *tags: str) -> None:
    """Store so many entries as a door would, also inside a transaction that has written."""
    store, blob = store_for(alias), encode(tags)
    for one in range(number):
        header = Header(b"epochnow", 1_790_000_000_000_000, 1_790_000_000_000_000, NEVER, 1_500, blob)
        data = seal(header, pickles.dumps({"number": one}))
        store.do(Save(store.key("e", "function", prefix, str(one)), data, 60_000, blob))


def everything(alias: str, pattern: str = "", section: str = "entries") -> list[bytes]:
    found: set[bytes] = set()
    cursor = scanned = 0
    while True:
        page = browser.page(alias, pattern, cursor, scanned, section=section)
        found.update(row.fact.raw for row in page.rows)
        cursor, scanned = page.cursor, page.scanned
        if page.done:
            return sorted(found)


@given(strategies.binary(max_size=200))
def test_a_token_stands_for_its_key_and_fits_a_path(raw: bytes) -> None:
    token = browser.token_of(raw)

    assert browser.raw_of(token) == raw
    assert token
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize("token", ["é", "a", "%%%", "a b"])
def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(InvalidKey, match="is not a key"):
        browser.raw_of(token)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain:1", "plain:1"),
        (b"a\nb\x00", r"a\nb\x00"),
        ("é\u202eb\u200b".encode(), r"é\u202eb\u200b"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"<img src=x>", "<img src=x>"),
    ],
)
def test_what_cannot_be_seen_is_escaped(raw: bytes, text: str) -> None:
    assert browser.visible(raw) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b":1:django.contrib.sessions.cacheabcdef", ":1:django.contrib.session…"),
        (b"sessions.session#abcdef", "sessions.session…"),
        (b"sessions.session", "sessions.session"),
        (b"shop.product#42", "shop.product#42"),
    ],
)
def test_a_name_that_tells_a_session_is_cut(raw: bytes, text: str) -> None:
    assert browser.discreet(raw) == text


def test_pages_show_every_key_once(alias: str) -> None:
    fill(alias, 250)

    found = everything(alias)

    assert len(found) == 250
    assert len(set(found)) == 250


def test_a_key_has_its_facts(alias: str) -> None:
    fill(alias, 1)

    (row,) = browser.page(alias).rows

    assert (row.kind, row.fact.type) == ("entry", "string")
    assert row.fact.ttl is not None
    assert 0 < row.fact.ttl <= 60
    assert row.fact.size


def test_part_of_a_name_is_enough(alias: str) -> None:
    fill(alias, 3, "red")
    fill(alias, 3, "blue")

    assert len(everything(alias, "blu")) == 3
    assert len(everything(alias, "function:[rx]ed:*")) == 3
    assert everything(alias, "green") == []


def test_the_exact_name_is_found_at_once(alias: str) -> None:
    fill(alias, 3)
    raw = everything(alias)[1]

    assert [row.fact.raw for row in browser.exact(alias, raw.decode())] == [raw]
    assert [row.fact.raw for row in browser.exact(alias, raw.decode().removeprefix(store_for(alias).key("e", "")))] == [
        raw
    ]
    assert browser.exact(alias, "nothing") == []


def test_values_of_caches_are_found_by_the_name_a_user_gave_them() -> None:
    caches["default"].set("product:42", {"name": "mug"}, 60)

    (row,) = browser.exact("default", "product:42")

    assert row.kind == "value"
    assert everything("default", "product:*", "values") == [row.fact.raw]


def test_after_clear_no_old_value_is_listed() -> None:
    caches["default"].set("old", 1)
    caches["default"].clear()
    caches["default"].set("new", 1)

    assert [raw.endswith(b"new") for raw in everything("default", section="values")] == [True]


def test_other_peoples_keys_are_neither_listed_nor_shown(valkey: Valkey) -> None:
    client: Any = store_for("default").client  # type: ignore[attr-defined]
    client.set(b"theirs", b"1")

    assert everything("default") == []
    assert browser.exact("default", "theirs") == []
    assert browser.look("default", b"theirs", 100) is None


def test_what_lies_beside_the_ledger_is_a_section_of_its_own() -> None:
    fill("default", 1)
    invalidate("homepage", alias="default")

    kinds = {browser.kind_of(raw, browser.fronts("default")) for raw in everything("default", section="beside")}

    assert "ledger" in kinds
    assert "entry" not in kinds


def test_nothing_is_final_before_the_cursor_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    client: Any = store_for("default").client  # type: ignore[attr-defined]
    client.mset({f"other:{number}": 1 for number in range(5_000)})
    monkeypatch.setattr(browser, "BUDGET", 0)

    page = browser.page("default", "missing")

    assert not page.done
    assert 0 < page.scanned < page.total


def test_a_page_of_a_large_database_keeps_its_budget() -> None:
    client: Any = store_for("default").client  # type: ignore[attr-defined]
    client.eval("for i = 1, 200000 do redis.call('SET', 'other:' .. i, i) end", 0)
    fill("default", 5, "needle")
    client.config_resetstat()

    before = client.info("commandstats")
    page = browser.page("default", "needle")
    after = client.info("commandstats")

    assert page.scanned <= page.total
    assert "cmdstat_keys" not in after
    asked = after["cmdstat_scan"]["calls"] - before.get("cmdstat_scan", {}).get("calls", 0)
    assert asked <= page.scanned / browser.STEP + 10


def test_a_value_is_read_from_its_start(alias: str) -> None:
    fill(alias, 1)
    (raw,) = everything(alias)

    found = browser.look(alias, raw, 10)

    assert found is not None
    assert len(found[1].data) == 10
    assert found[1].length > 10


@pytest.mark.parametrize(
    ("command", "members"),
    [
        (("HSET", "x", "field", "value"), ((b"field", b"value"),)),
        (("SADD", "x", "one"), ((b"one",),)),
        (("ZADD", "x", "2", "one"), ((b"one", b"2"),)),
        (("RPUSH", "x", "one", "two"), ((b"one",), (b"two",))),
        (("XADD", "x", "1-1", "field", "value"), ((b"1-1", b"field", b"value"),)),
    ],
)
def test_members_of_other_types_are_read(command: tuple[str, ...], members: tuple[tuple[bytes, ...], ...]) -> None:
    store: Any = store_for("default")
    name = store.slot_key("x")
    store.client.execute_command(command[0], name, *command[2:])

    found = browser.look("default", name.encode(), 100)

    assert found is not None
    assert found[1].members == members


def test_a_key_that_is_gone_is_none(store: Store) -> None:
    assert browser.look(store.alias, store.key("e", "never").encode(), 100) is None


@pytest.mark.parametrize(
    ("match", "fits", "fails"),
    [
        (b"a*", b"abc", b"ba"),
        (b"a?c", b"a\nc", b"ac"),
        (b"[ab]x", b"bx", b"cx"),
        (b"[^ab]x", b"cx", b"ax"),
        (rb"a\*", b"a*", b"ab"),
        (b"a.c", b"a.c", b"abc"),
    ],
)
def test_memory_reads_globs_as_redis_does(match: bytes, fits: bytes, fails: bytes) -> None:
    store: Any = store_for("default")
    store.client.mset({fits: 1, fails: 1})
    listing = listing_for("memory")
    assert isinstance(listing, MemoryListing)
    for raw in (fits, fails):
        listing.store.entries[raw.decode()] = listing.store.entries.get("", None) or _kept()

    assert listing.scan(0, match, 10)[1] == [fits]
    assert listing_for("default").scan(0, match, 1_000)[1] == [fits]


def _kept() -> Any:
    from cachekit.stores.memory import Kept

    return Kept(b"", float("inf"))
