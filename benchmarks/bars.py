"""Draw horizontal bars as an SVG, over a logarithmic scale, grouped under headings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from benchmarks.lines import STYLE

WIDTH, LEFT, RIGHT, TOP, BOTTOM, STEP = 760, 250, 80, 56, 40, 20
DARK = "@media(prefers-color-scheme:dark){.m{stroke:#ddd}}"
GOOD, BAD, PLAIN = "#0b7a4b", "#c0392b", "#6c7a89"


class Bar(NamedTuple):
    """One bar: its name, its value (more than 0), what stands beside it, and its colour."""

    name: str
    value: float
    said: str
    colour: str = PLAIN


class Group(NamedTuple):
    """Bars under a heading; one without a heading stands closer."""

    heading: str
    bars: Sequence[Bar]


def bars(title: str, below: str, groups: Sequence[Group], mark: float | None = None) -> str:
    """Return the picture; `mark` draws an upright line at a value."""
    values = [one.value for group in groups for one in group.bars] + ([mark] if mark else [])
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    across = (WIDTH - LEFT - RIGHT) / (high - low)
    rows = sum(len(group.bars) + bool(group.heading) for group in groups)
    foot = TOP + rows * STEP
    height = foot + BOTTOM

    def at(value: float) -> float:
        return LEFT + across * (math.log10(value) - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}.h{{font-weight:600}}.m{{stroke:#222}}{DARK}</style>",
        f'<text class="t" x="8" y="22">{escape(title)}</text>',
        f'<text class="s" x="{LEFT}" y="{height - 6}">{escape(below)}</text>',
    ]
    for power in range(low, high + 1):
        x = at(10**power)
        parts.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 8}" y2="{foot}"/>')
        parts.append(f'<text class="s" x="{x:.0f}" y="{foot + 14}" text-anchor="middle">{10**power:,g}</text>')
    y = TOP
    for group in groups:
        if group.heading:
            parts.append(f'<text class="h" x="8" y="{y + 14}">{escape(group.heading)}</text>')
            y += STEP
        for one in group.bars:
            width = max(1.0, at(one.value) - LEFT)
            parts.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(one.name)}</text>')
            parts.append(
                f'<rect x="{LEFT}" y="{y + 4}" width="{width:.1f}" height="{STEP - 7}" fill="{one.colour}" rx="2"/>'
            )
            parts.append(f'<text class="s" x="{LEFT + width + 5:.1f}" y="{y + 14}">{escape(one.said)}</text>')
            y += STEP
    if mark:
        parts.append(f'<line class="m" x1="{at(mark):.1f}" x2="{at(mark):.1f}" y1="{TOP - 8}" y2="{foot}"/>')
    return "\n".join([*parts, "</svg>", ""])
