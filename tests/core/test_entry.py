"""The envelope, and the law that judges it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as some

from cachekit.core import dependencies
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
        {"read_point": 2**55, "oldest": 2**54, "expiry": (2**55 // 1000 + 5) * 1000},
        {"expiry": 100 * SECOND},
        {"expiry": 100 * SECOND + 2**45 * 1000},
        {"expiry": 100 * SECOND + (2**24 - 2) * 1000},
        {"expiry": 100 * SECOND + (2**24 - 2) * SECOND},
        {"expiry": 100 * SECOND + (2**24 - 1) * SECOND},
        {"tags": b"t" * 300},
        {"tags": b"t" * 300, "oldest": 0, "expiry": 7},
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


CALL = "ck:e:function:shop.top:UPly69DtAP4_3E-9ss06vw"
OF_CALL = ("function:shop.top", "function:shop.top#UPly69DtAP4_3E-9ss06vw")
SHARED = ("shop.product#42", "shop.category", "homepage")
BY_KEY = {
    CALL: OF_CALL,
    "ck:e:query:shop.product:54023ebc020d": ("query:shop.product",),
    "ck:e:fragment:side:bar:54023ebc020d": ("fragment:side:bar",),
    "ck:e:row:shop.product:wLLOgjLZ:default:42": ("shop.product#42",),
    "ck:e:row:shop.product:wLLOgjLZ:de-DE:archive:42": ("shop.product@archive#42",),
    "ck:e:row:shop.sku:wLLOgjLZ:default:007": ("shop.sku#007",),
}


@pytest.mark.parametrize("oldest", [0, HEADER.read_point])
@pytest.mark.parametrize("key", BY_KEY)
def test_what_the_key_says_is_not_written_once_more(key: str, oldest: int) -> None:
    blob = dependencies.merge((*SHARED, *BY_KEY[key], "shop.product#7"), [], key)
    header = HEADER._replace(tags=blob, oldest=oldest)
    plain, sealed = seal(header, b"payload"), seal(header, b"payload", key)

    assert len(sealed) == len(plain) - len(dependencies.encode(BY_KEY[key]))
    assert unseal(sealed, key) == unseal(sealed, key.encode()) == (header, b"payload")
    assert dependencies.layout(blob) == dependencies.layout(
        dependencies.encode((*SHARED, *BY_KEY[key], "shop.product#7"))
    )
    assert unseal(sealed) == unseal(sealed, "short") == unseal(sealed, "ck:e:warming:x:y") == (None, b"")
    assert [unseal(sealed[:length], key) for length in range(len(sealed) - len(b"payload"))] == [(None, b"")] * (
        len(sealed) - len(b"payload")
    )


@pytest.mark.parametrize(
    "key",
    [
        "",
        "another",
        "ck:e:function:shop.bottom:xyz",
        "ck:e:function:shop.top",
        "ck:e:row:",
        "ck:e:row:x",
        "ck:e:row:x:y",
        "ck:e:row::default:",
        "ck:e:query:\ud800:x",
        f"ck:e:query:{'x' * 300}:y",
        f"ck:e:row:{'x' * 300}:default:y",
    ],
)
def test_an_entry_whose_key_says_nothing_of_it_says_it_all(key: str) -> None:
    header = HEADER._replace(tags=dependencies.merge((*SHARED, *OF_CALL), [], key))

    assert header.tags == dependencies.encode((*SHARED, *OF_CALL))
    assert unseal(seal(header, b"payload", key)) == (header, b"payload")


def test_an_entry_with_three_shared_tags_is_52_bytes_beside_its_payload() -> None:
    header = HEADER._replace(oldest=HEADER.read_point, tags=dependencies.merge((*SHARED, *OF_CALL), [], CALL))

    assert len(seal(header, b"", CALL)) <= 52


@given(some.binary(max_size=80), some.sampled_from(["", *BY_KEY]))
def test_no_bytes_make_more_than_a_miss(noise: bytes, key: str) -> None:
    for data in (noise, *(b"%c%b" % (FORMAT << 5 | flags, noise) for flags in (0, 8, 13, 31))):
        header, _ = unseal(data, key)
        with suppress(ValueError):
            assert header is None or dependencies.layout(header.tags)


@given(some.data())
def test_an_entry_that_is_damaged_makes_no_more_than_a_miss(data: Any) -> None:
    key = data.draw(some.sampled_from(sorted(BY_KEY)))
    blob = dependencies.merge((*SHARED, *BY_KEY[key], "shop.product#7"), [], key)
    sealed = bytearray(seal(HEADER._replace(tags=blob), b"payload", key))
    for _ in range(data.draw(some.integers(1, 3))):
        sealed[data.draw(some.integers(0, len(sealed) - 1))] = data.draw(some.integers(0, 255))

    header, _ = unseal(bytes(sealed), key)
    with suppress(ValueError):
        assert header is None or dependencies.layout(header.tags)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_earlier_formats_are_misses(number: int) -> None:
    sealed = seal(HEADER, b"payload")

    assert unseal(b"\xc1%c%b" % (number, sealed[1:])) == (None, b"")


def test_an_expiry_of_days_is_kept_to_the_second() -> None:
    header, _ = unseal(seal(HEADER._replace(expiry=86_400 * SECOND + 999_999), b""))

    assert header is not None
    assert header.expiry == 86_400 * SECOND


def test_an_expiry_is_kept_to_the_millisecond() -> None:
    header, _ = unseal(seal(HEADER._replace(expiry=110 * SECOND + 1999), b""))

    assert header is not None
    assert header.expiry == 110 * SECOND + 1000


def test_an_envelope_is_21_bytes_beside_tags_and_payload() -> None:
    assert len(seal(HEADER._replace(oldest=HEADER.read_point, tags=b""), b"")) == 21


@pytest.mark.parametrize("cost", [1, 999, 12_345, 1_000_000, 600_000_000])
def test_a_cost_is_kept_well_enough(cost: int) -> None:
    header, _ = unseal(seal(HEADER._replace(cost=cost), b""))

    assert header is not None
    assert cost <= header.cost <= 1.1 * cost + 1


def test_a_cost_too_great_for_its_field_is_the_greatest() -> None:
    header, _ = unseal(seal(HEADER._replace(cost=2**40), b""))

    assert header is not None
    assert header.cost > 3600 * SECOND


@pytest.mark.parametrize("data", [None, b"", b"\xa0", b"\x80\x05pickle" + b"." * 60, seal(HEADER, b"")[:-1]])
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
