"""Draw lines over a logarithmic scale as an SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

COLOURS = ("#0b7a4b", "#b8860b", "#c0392b", "#6c3483")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 380, 60, 130, 50, 50
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.t{font-size:14px;font-weight:600}line{stroke:#ddd}"
    ".s{fill:#666}@media(prefers-color-scheme:dark){text{fill:#ddd}.s{fill:#aaa}line{stroke:#444}}"
)


class Series(NamedTuple):
    """A line: its name, and its points (both coordinates more than 0)."""

    name: str
    points: Sequence[tuple[float, float]]


def lines(title: str, below: str, series: Sequence[Series]) -> str:
    """Return the picture; both axes are logarithmic."""
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    low, high = math.floor(math.log10(min(xs))), math.ceil(math.log10(max(xs)))
    top = math.ceil(math.log2(max(*ys, 2)))
    across = (WIDTH - LEFT - RIGHT) / max(high - low, 1)
    up = (HEIGHT - TOP - BOTTOM) / top

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + across * (math.log10(x) - low), HEIGHT - BOTTOM - up * max(math.log2(y), 0)

    middle = f'x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<text class="t" x="8" y="22">{escape(title)}</text>',
        f'<text class="s" {middle}>{escape(below)}</text>',
    ]
    for power in range(low, high + 1):
        x, _ = at(10**power, 1)
        parts.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text class="s" x="{x:.0f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{10**power:,}</text>'
        )
    for power in range(top + 1):
        _, y = at(10**low, 2**power)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.0f}" y2="{y:.0f}"/>')
        parts.append(f'<text class="s" x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{2**power:,} ×</text>')
    for number, one in enumerate(series):
        colour, places = COLOURS[number % len(COLOURS)], [at(*point) for point in one.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (_, value) in zip(places, one.points, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{value:.2f}</title></circle>')
        x, y = places[-1]
        parts.append(f'<text x="{x + 9:.0f}" y="{y + 4:.0f}" fill="{colour}">{escape(one.name)}</text>')
    return "\n".join([*parts, "</svg>", ""])
