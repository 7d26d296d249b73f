from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies

from cachekit.core.tally import WINDOWS, Counts
from cachekit.dashboard import words
from cachekit.dashboard.chart import Point, chart, runs, sparkline

HALF, NONE, ALL = Counts(hit=5, miss=5), Counts(), Counts(hit=10)


def when(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def points(*counts: Counts) -> list[Point]:
    return [(600 + 60 * index, one) for index, one in enumerate(counts)]


def test_a_gap_interrupts_the_line() -> None:
    found = runs(points(HALF, HALF, NONE, ALL))

    assert [[start for start, _ in run] for run in found] == [[600, 660], [780]]


def test_a_lonely_point_is_a_dot() -> None:
    drawn = chart(points(NONE, ALL, NONE), when, str)

    assert len(drawn.dots) == 1


def test_all_hits_are_at_the_top_and_no_hits_at_the_bottom() -> None:
    drawn = chart(points(ALL, Counts(miss=10)), when, str)

    (line,) = drawn.lines
    top, bottom = [point.split(",")[1] for point in line.split()]
    assert (top, bottom) == (drawn.ratios[-1].at, drawn.ratios[0].at)


def test_bars_are_as_high_as_there_were_requests() -> None:
    drawn = chart(points(Counts(hit=10), Counts(hit=5), NONE), when, str)

    heights = [float(bar.height) for bar in drawn.bars]
    assert heights == [22.0, 11.0]


def test_marks_stand_where_they_happened() -> None:
    drawn = chart(points(ALL, ALL, ALL), when, str, [(0, "long ago"), (660, "here"), (10_000, "later")])

    assert [mark.what for mark in drawn.marks] == ["here"]
    assert drawn.marks[0].x == drawn.lines[0].split()[1].split(",")[0]


@given(strategies.lists(strategies.builds(Counts, *[strategies.integers(0, 10**9)] * 6), min_size=1, max_size=40))
def test_nothing_is_drawn_outside(counts: list[Counts]) -> None:
    drawn = chart(points(*counts), when, str)

    for line in (*drawn.lines, *sparkline(points(*counts), width=drawn.width, height=drawn.height)):
        for point in line.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= drawn.width
            assert 0 <= y <= drawn.height


@pytest.mark.parametrize(
    ("counts", "said", "level"),
    [
        (Counts(), "no requests", "none"),
        (Counts(bypass=500), "no requests", "none"),
        (Counts(hit=37), "too few requests (37)", "none"),
        (Counts(hit=90, miss=10), "90.0 %", "good"),
        (Counts(hit=80, stale=20), "80.0 %", "fair"),
        (Counts(hit=10, expired=90), "10.0 %", "poor"),
        (Counts(hit=999_999, miss=1), "99.9 %", "good"),
        (Counts(hit=1_000), "100.0 %", "good"),
    ],
)
def test_a_ratio_is_never_more_certain_than_it_is(counts: Counts, said: str, level: str) -> None:
    assert (words.ratio(counts), words.level(counts)) == (said, level)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "no expiry"), (1.2, "1 second"), (59, "59 seconds"), (3_600, "1 hour"), (90_000, "1 day, 1 hour")],
)
def test_lifetimes_read_well(seconds: float | None, said: str) -> None:
    assert words.lifetime(seconds).replace("\xa0", " ") == said


@pytest.mark.parametrize("window", WINDOWS.values())
def test_every_window_has_a_name_and_a_clock(window: object) -> None:
    assert words.span(window)  # type: ignore[arg-type]
    assert words.clock(when(0), window)  # type: ignore[arg-type]
