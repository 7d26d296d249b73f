"""Draw stale reads by fault as an SVG: one row a fault, one colour a subject, a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Rates = Mapping[str, Sequence[float | None]]
"""For each fault what each subject showed, or None where it was not run."""

COLOURS = ("#0b7a4b", "#5bbf8c", "#b8860b", "#c0392b", "#6c3483")
LEFT, WIDTH, ROW, TOP = 330, 860, 22, 70
DECADES = 6
HEADING = "Stale reads in a million, by the fault during which the write was made that they miss"
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.t{font-size:14px;font-weight:600}line{stroke:#ddd}"
    ".s{fill:#666}@media(prefers-color-scheme:dark){text{fill:#ddd}.s{fill:#aaa}line{stroke:#444}}"
)


def drawn(titles: Sequence[str], rates: Rates) -> str:
    """Return the picture."""
    height = TOP + ROW * len(rates) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>Stale reads a million, by fault</title>",
        f"<style>{STYLE}</style>",
        f'<text class="t" x="8" y="20">{HEADING}</text>',
        *_legend(titles),
        *_axis(height),
    ]
    for number, (name, found) in enumerate(rates.items()):
        y = TOP + ROW * number + ROW / 2
        parts.append(f'<text x="{LEFT - 14}" y="{y + 4:.0f}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.0f}" y2="{y:.0f}"/>')
        parts += _dots(titles, name, found, y)
    return "\n".join([*parts, "</svg>", ""])


def _legend(titles: Sequence[str]) -> list[str]:
    found, x = [], 14
    for number, title in enumerate(titles):
        found.append(f'<circle cx="{x}" cy="40" r="5" fill="{COLOURS[number % len(COLOURS)]}"/>')
        found.append(f'<text x="{x + 9}" y="44">{escape(title)}</text>')
        x += 24 + 7 * len(title)
    return found


def _axis(height: int) -> list[str]:
    found = []
    for decade in range(-1, DECADES):
        x, label = (_x(0), "0") if decade < 0 else (_x(10**decade), f"{10**decade:,}")
        found.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{TOP}" y2="{height - 36}"/>')
        found.append(f'<text class="s" x="{x:.0f}" y="{height - 18}" text-anchor="middle">{label}</text>')
    return found


def _dots(titles: Sequence[str], fault: str, rates: Sequence[float | None], y: float) -> list[str]:
    found = []
    for number, (title, rate) in enumerate(zip(titles, rates, strict=True)):
        if rate is None:
            continue
        shown, colour = f"{escape(title)}, {escape(fault)}: {rate:,.1f}", COLOURS[number % len(COLOURS)]
        place = f'cx="{_x(rate):.1f}" cy="{y + (number - (len(titles) - 1) / 2) * 3:.1f}" r="4.5"'
        found.append(f'<circle {place} fill="{colour}" fill-opacity="0.85"><title>{shown}</title></circle>')
    return found


def _x(rate: float) -> float:
    """Place nought at the left, one a tenth to its right, then decades."""
    room = (WIDTH - 30 - LEFT) / (DECADES + 0.5)
    return LEFT if rate <= 0 else LEFT + room * max(0.4, 1 + math.log10(rate))
