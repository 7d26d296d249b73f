"""The envelope, and the law that judges it."""

from __future__ import annotations

from typing import Any

import pytest

from cachekit.core import tags
from cachekit.core.entry import FORMAT, NEVER, Found, Header, Verdict, judge, seal, unseal

EPOCH = b"epoch-01"
SECOND = 1_000_000
HEADER = Header(EPOCH, 100 * SECOND, 99 * SECOND, 110 * SECOND, 2**21, b"tags")


def found(header: Header | None = HEADER, *, epoch: bytes = EPOCH, newest: int = 0) -> Found:
    return Found(header, b"payload", epoch, 105 * SECOND, newest)


def test_an_envelope_survives_the_way_there_and_back() -> None:
    header = HEADER._replace(read_point=1_763_838_000_123_457, expiry=NEVER)

    assert unseal(seal(header, b"payload")) == (header, b"payload")


@pytest.mark.parametrize(
    "changes",
    [
        {"oldest": 100 * SECOND},
        {"oldest": 0},
        {"expiry": NEVER},
        {"expiry": 1},
        {"read_point": 2**60, "oldest": 2**59, "expiry": (2**60 // 1000 + 5) * 1000},
        {"expiry": 100 * SECOND},
        {"expiry": 100 * SECOND + 2**45 * 1000},
        {"expiry": 100 * SECOND + (2**32 - 1) * 1000},
        {"cost": 0},
        {"oldest": 0, "expiry": 0, "tags": b""},
    ],
)
def test_unusual_times_survive_too(changes: dict[str, Any]) -> None:
    header = HEADER._replace(**changes)
    sealed = seal(header, b"payload")

    assert unseal(sealed) == (header, b"payload")
    assert [unseal(sealed[:length]) for length in range(len(sealed) - len(b"payload"))] == [(None, b"")] * (
        len(sealed) - len(b"payload")
    )


def test_the_shortest_entries_survive() -> None:
    header = HEADER._replace(tags=b"")

    assert unseal(seal(header, b"")) == (header, b"")
    assert unseal(seal(header._replace(expiry=1000), b"")) == (header._replace(expiry=1000), b"")


NAMED = ("shop.product#1", "function:shop.top", "function:shop.top#7", "free")


@pytest.mark.parametrize("oldest", [0, HEADER.read_point])
def test_a_name_that_the_key_holds_is_not_written_once_more(oldest: int) -> None:
    header, key = HEADER._replace(tags=tags.encode(NAMED), oldest=oldest), "ck:e:function:shop.top:xyz"
    plain, sealed = seal(header, b"payload"), seal(header, b"payload", key)

    assert len(sealed) == len(plain) - len("function:shop.top") + 2
    assert unseal(sealed, key) == unseal(sealed, key.encode()) == (header, b"payload")
    assert unseal(sealed) == unseal(sealed, "short") == (None, b"")
    assert [unseal(sealed[:length], key) for length in range(len(sealed) - len(b"payload"))] == [(None, b"")] * (
        len(sealed) - len(b"payload")
    )


@pytest.mark.parametrize("key", ["another", "ck:e:function:shop.bottom:xyz", "x" * 300 + "function:shop.top"])
def test_an_entry_whose_key_holds_no_name_says_it_all(key: str) -> None:
    header = HEADER._replace(tags=tags.encode(NAMED))

    assert unseal(seal(header, b"payload", key)) == (header, b"payload")


def test_an_expiry_is_kept_to_the_millisecond() -> None:
    header, _ = unseal(seal(HEADER._replace(expiry=110 * SECOND + 1999), b""))

    assert header is not None
    assert header.expiry == 110 * SECOND + 1000


def test_an_envelope_is_26_bytes_beside_tags_and_payload() -> None:
    assert len(seal(HEADER._replace(oldest=HEADER.read_point, tags=b""), b"")) == 26


@pytest.mark.parametrize("cost", [1, 999, 12_345, 1_000_000, 600_000_000])
def test_a_cost_is_kept_well_enough(cost: int) -> None:
    header, _ = unseal(seal(HEADER._replace(cost=cost), b""))

    assert header is not None
    assert header.cost == pytest.approx(cost, rel=0.001, abs=1)


def test_a_cost_too_great_for_its_field_is_the_greatest() -> None:
    header, _ = unseal(seal(HEADER._replace(cost=2**40), b""))

    assert header is not None
    assert header.cost == 65_504 * 2**14


@pytest.mark.parametrize("data", [None, b"", FORMAT, b"\x80\x05pickle" + b"." * 60, seal(HEADER, b"")[:-1]])
def test_what_is_no_envelope_is_missing(data: bytes | None) -> None:
    assert unseal(data) == (None, b"")


@pytest.mark.parametrize(
    ("what", "now", "verdict"),
    [
        (found(None), 105, Verdict.MISSING),
        (found(), 105, Verdict.FRESH),
        (found(newest=100 * SECOND), 105, Verdict.FRESH),
        (found(newest=100 * SECOND + 1), 105, Verdict.STALE),
        (found(newest=NEVER), 105, Verdict.STALE),
        (found(epoch=b"epoch-02"), 105, Verdict.STALE),
        (found(epoch=b""), 105, Verdict.STALE),
        (found(), 110, Verdict.EXPIRED),
        (found(newest=101 * SECOND), 200, Verdict.STALE),
        (found(HEADER._replace(expiry=NEVER)), 10**9, Verdict.FRESH),
        (found()._replace(since=99 * SECOND), 105, Verdict.FRESH),
        (found()._replace(since=99 * SECOND + 1), 105, Verdict.STALE),  # though its read point is later
    ],
)
def test_fresh_means_not_invalidated_since_the_read_point(what: Found, now: int, verdict: Verdict) -> None:
    assert judge(what, now * SECOND) is verdict


@pytest.mark.parametrize(
    ("now", "dice", "verdict"),
    [
        (109, 1.0, Verdict.FRESH),
        (109, 0.5, Verdict.EARLY),  # 109 s + 2 s × 0.69
        (108, 0.5, Verdict.FRESH),
        (101, 0.001, Verdict.EARLY),
        (101, 0.0, Verdict.EARLY),
        (110, 0.5, Verdict.EXPIRED),
    ],
)
def test_the_dice_renew_early_what_is_costly_and_soon_over(now: int, dice: float, verdict: Verdict) -> None:
    assert judge(found(), now * SECOND, dice) is verdict


def test_what_never_expires_is_never_renewed_early() -> None:
    assert judge(found(HEADER._replace(expiry=NEVER)), 105 * SECOND, 0.0) is Verdict.FRESH
