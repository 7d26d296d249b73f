"""Which keys are hot."""

from __future__ import annotations

import random

from cachekit.core.hot import SIZE, Hot


def test_what_is_asked_for_often_is_hot_and_what_is_not_is_not() -> None:
    draw, hot = random.Random(1), Hot(random.Random(2))
    found: dict[str, bool] = {}
    for _ in range(20_000):
        key = f"top {draw.randrange(5)}" if draw.random() < 0.5 else f"tail {draw.randrange(5_000)}"
        found[key] = hot.seen(key)

    assert {key for key, is_hot in found.items() if is_hot} == {f"top {n}" for n in range(5)}


def test_where_all_are_alike_none_is_hot() -> None:
    draw, hot = random.Random(1), Hot(random.Random(2))

    assert not any(hot.seen(draw.randrange(20 * SIZE)) for _ in range(50_000))


def test_it_forgets_and_is_bounded() -> None:
    draw, hot = random.Random(1), Hot(random.Random(2))
    for _ in range(1_000):
        hot.seen("once")
    assert hot.seen("once")

    for _ in range(100_000):
        hot.seen(draw.randrange(100_000))

    assert not hot.seen("once")
    assert len(hot._counts) <= SIZE
