"""The envelope, and the law that judges it."""

from __future__ import annotations

import pytest

from cachekit.core.entry import FORMAT, NEVER, Found, Header, Verdict, judge, seal, unseal

EPOCH = b"epoch-01"
SECOND = 1_000_000
HEADER = Header(1, EPOCH, 100 * SECOND, 99 * SECOND, 110 * SECOND, 2 * SECOND, b"tags")


def found(header: Header | None = HEADER, *, epoch: bytes = EPOCH, newest: int = 0) -> Found:
    return Found(header, b"payload", epoch, 105 * SECOND, newest)


def test_an_envelope_survives_the_way_there_and_back() -> None:
    header = HEADER._replace(read_point=1_763_838_000_123_457, expiry=NEVER)

    assert unseal(seal(header, b"payload")) == (header, b"payload")


def test_a_cost_too_great_for_its_field_is_the_greatest() -> None:
    header, _ = unseal(seal(HEADER._replace(cost=2**40), b""))

    assert header is not None
    assert header.cost == 2**32 - 1


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
