"""How long entries live."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest

from cachekit.core.policy import Policy, is_negative


@pytest.mark.parametrize("dice", [0.0, 0.5, 0.999])
def test_jitter_shortens_within_its_bounds_and_never_lengthens(dice: float) -> None:
    policy = Policy(timeout=100, jitter=0.2)

    assert policy.lifetime("x", dice) == pytest.approx(100 - 20 * dice)


def test_nothing_there_lives_shorter() -> None:
    policy = Policy(timeout=100, negative_timeout=10, jitter=0)

    nothings: list[object] = [None, [], {}, "", (), b"", set()]
    assert [policy.lifetime(value, 0) for value in nothings] == [10] * 7
    assert [policy.lifetime(value, 0) for value in (0, False, [None], 0.0)] == [100] * 4
    assert Policy(timeout=5, negative_timeout=10, jitter=0).lifetime(None, 0) == 5


@pytest.mark.parametrize("timeout", [None, math.inf, sys.maxsize, 1e300])
def test_a_timeout_beyond_a_lifetime_is_none(timeout: float | None) -> None:
    assert Policy(timeout=timeout).lifetime("x", 0.5) == math.inf


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeout": -1}, ValueError),
        ({"timeout": math.nan}, ValueError),
        ({"timeout": True}, ValueError),
        ({"timeout": "300"}, ValueError),
        ({"jitter": 1}, ValueError),
        ({"jitter": "0.1"}, ValueError),
        ({"grace": -1}, ValueError),
        ({"grace": math.inf}, ValueError),
        ({"wait": None}, ValueError),
        ({"negative_timeout": None}, ValueError),
        ({"beta": "no"}, ValueError),
        ({"tags": "homepage"}, TypeError),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        Policy(**options)


def test_a_query_result_that_is_no_container_is_never_nothing() -> None:
    class Lazy:
        def __len__(self) -> int:
            raise AssertionError("it was evaluated")

    assert not is_negative(Lazy())
