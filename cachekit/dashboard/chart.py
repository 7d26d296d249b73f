"""Turn points in time into the strings that an SVG template needs; no markup, no clock, no I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from cachekit.core.tally import Counts

Point = tuple[int, Counts]
"""Where a stretch of time begins (Unix seconds) and what was counted in it."""

LEFT, TOP, RIGHT, BOTTOM = 44, 14, 30, 26
VOLUME = 22
"""The height of the strip of bars under the line that says how many lookups each point rests on."""


@dataclasses.dataclass(frozen=True, slots=True)
class Tick:
    """A label on an axis and where it stands."""

    at: str
    label: str
    when: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """The lookups of one point as a bar, with the point itself for its title."""

    x: str
    y: str
    width: str
    height: str
    when: datetime
    counts: Counts


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened and may explain the line after it."""

    x: str
    when: datetime
    what: str


@dataclasses.dataclass(frozen=True, slots=True)
class Chart:
    """One line of hit ratios over time, with everything its template prints."""

    width: int
    height: int
    left: int
    right: int
    floor: int
    lines: tuple[str, ...]
    dots: tuple[tuple[str, str], ...]
    bars: tuple[Bar, ...]
    ratios: tuple[Tick, ...]
    times: tuple[Tick, ...]
    marks: tuple[Mark, ...]


def _text(number: float) -> str:
    """Print a coordinate: never localized, never longer than a tenth of a pixel."""
    return f"{number:.1f}".rstrip("0").rstrip(".")


def runs(points: Sequence[Point]) -> list[list[Point]]:
    """Split into stretches without a gap: where nothing was asked there is no ratio to draw."""
    found: list[list[Point]] = [[]]
    for point in points:
        if point[1].asked:
            found[-1].append(point)
        elif found[-1]:
            found.append([])
    return [run for run in found if run]


def sparkline(points: Sequence[Point], *, width: int = 120, height: int = 24) -> tuple[str, ...]:
    """Return the `points` attributes of polylines that fill a small box; a lonely point twice, which makes a dot."""
    x, y = _scales(points, 2, width - 2, 2, height - 2)
    return tuple(
        " ".join(
            f"{_text(x(start))},{_text(y(counts.ratio or 0))}" for start, counts in (run if len(run) > 1 else run * 2)
        )
        for run in runs(points)
    )


def chart(
    points: Sequence[Point],
    when: Callable[[int], datetime],
    label: Callable[[datetime], str],
    happened: Iterable[tuple[int, str]] = (),
    *,
    width: int = 760,
    height: int = 230,
) -> Chart:
    """Lay out a chart; `when` turns seconds into the reader's time zone, `happened` are moments to mark."""
    left, right, floor = LEFT, width - RIGHT, height - BOTTOM
    x, y = _scales(points, left, right, TOP, floor - VOLUME - 8)
    stretches = runs(points)
    first, last = points[0][0], points[-1][0]
    return Chart(
        width=width,
        height=height,
        left=left,
        right=right,
        floor=floor,
        lines=tuple(
            " ".join(f"{_text(x(start))},{_text(y(counts.ratio or 0))}" for start, counts in run) for run in stretches
        ),
        dots=tuple((_text(x(run[0][0])), _text(y(run[0][1].ratio or 0))) for run in stretches if len(run) == 1),
        bars=_bars(points, x, floor, when),
        ratios=tuple(Tick(_text(y(percent / 100)), f"{percent} %") for percent in (0, 25, 50, 75, 100)),
        times=tuple(Tick(_text(x(start)), label(when(start)), when(start)) for start in _spread(points)),
        marks=tuple(Mark(_text(x(at)), when(at), what) for at, what in happened if first <= at <= last + _step(points)),
    )


def _step(points: Sequence[Point]) -> int:
    return points[1][0] - points[0][0] if len(points) > 1 else 1


def _scales(
    points: Sequence[Point], left: float, right: float, top: float, bottom: float
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """Map time to x and a ratio to y."""
    first = points[0][0] if points else 0
    span = max(1, points[-1][0] - first) if points else 1

    def x(start: float) -> float:
        return left + min(1.0, (start - first) / span) * (right - left)

    def y(ratio: float) -> float:
        return bottom - ratio * (bottom - top)

    return x, y


def _bars(
    points: Sequence[Point], x: Callable[[float], float], floor: int, when: Callable[[int], datetime]
) -> tuple[Bar, ...]:
    most = max((counts.total for _, counts in points), default=0)
    width = max(1.0, x(_step(points) + points[0][0]) - x(points[0][0]) - 1)
    return tuple(
        Bar(_text(x(start) - width / 2), _text(floor - high), _text(width), _text(high), when(start), counts)
        for start, counts in points
        if counts.total
        for high in (max(1.0, VOLUME * counts.total / most),)
    )


def _spread(points: Sequence[Point], wanted: int = 6) -> list[int]:
    """Choose about so many starts to label, evenly from the first to the last."""
    every = max(1, (len(points) - 1) // (wanted - 1))
    return [start for start, _ in points[::every]]
