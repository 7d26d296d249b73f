"""Draw a round brilliant from above for every cut and color, as small SVG files: `python -m demo_site.shop.gems`."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from demo_site.shop.grades import Color, Cut

FOLDER = Path(__file__).resolve().parent.parent / "static" / "shop" / "gems"
CENTER, RADIUS = 100.0, 94.0
LIGHT = math.radians(235)
# Table width, depth of the star facets, unevenness and contrast: a better cut is more even and brighter.
SHAPES = {
    Cut.FAIR: (0.64, 0.80, 0.045, 0.50),
    Cut.GOOD: (0.61, 0.79, 0.028, 0.62),
    Cut.VERY_GOOD: (0.58, 0.78, 0.014, 0.76),
    Cut.PREMIUM: (0.56, 0.77, 0.006, 0.90),
    Cut.IDEAL: (0.54, 0.76, 0.0, 1.0),
}
TINTS = {
    Color.D: (226, 240, 255),
    Color.E: (230, 242, 253),
    Color.F: (236, 244, 250),
    Color.G: (243, 245, 245),
    Color.H: (248, 244, 234),
    Color.I: (250, 240, 216),
    Color.J: (252, 233, 193),
}
SHADES = 9
RIM = 0.8  # a facet at the rim is never as bright as the paper behind it
SPARKLE = 0.95
Point = tuple[float, float]
Facet = tuple[float, list[Point]]


def slug(cut: str, color: str) -> str:
    """Return the name of the drawing for a cut and a color, like `very-good-d`."""
    return f"{cut.lower().replace(' ', '-')}-{color.lower()}"


def draw(cut: Cut, color: Color) -> str:
    """Return the SVG: facets of one shade share a path."""
    paths: dict[str, list[str]] = defaultdict(list)
    for shade, corners in _facets(cut):
        paths[_paint(shade, TINTS[color])].append(_outline(corners))
    body = "".join(f'<path fill="{paint}" d="{"".join(outlines)}"/>' for paint, outlines in sorted(paths.items()))
    edge = _paint(0.25, TINTS[color])
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200">'
        f'<g stroke="{edge}" stroke-opacity=".35" stroke-width=".7" stroke-linejoin="round">{body}</g></svg>\n'
    )


def _facets(cut: Cut) -> Iterator[Facet]:
    """Yield (shade from 0 to 1, corners) for the crown, and the pavilion's arrows seen through the table."""
    table, star, uneven, contrast = SHAPES[cut]
    rng = random.Random(cut.value)
    turn = math.pi / 4
    tables = [_at(k * turn + turn / 2, table, uneven, rng) for k in range(8)]
    stars = [_at(k * turn, star * 0.97, uneven, rng) for k in range(8)]
    girdle = [_at(k * turn / 2, 1.0, 0, rng) for k in range(16)]
    center = (CENTER, CENTER)
    inner = [_at(k * turn, table * 0.52, uneven, rng) for k in range(8)]
    for k in range(8):
        after, angle = (k + 1) % 8, k * turn
        ahead, corner, behind = girdle[(2 * k + 2) % 16], girdle[(2 * k + 1) % 16], girdle[2 * k]
        yield _lit(angle + 0.10, 0.62, contrast), [tables[k - 1], tables[k], stars[k]]
        yield min(RIM, _lit(angle + turn / 2, 0.42, contrast)), [tables[k], stars[k], corner, stars[after]]
        yield min(RIM, _lit(angle + 0.9, 0.74, contrast)), [stars[k], behind, corner]
        yield min(RIM, _lit(angle - 0.6, 0.34, contrast)), [stars[after], corner, ahead]
        yield _lit(angle + 2.2, 0.80, contrast), [center, inner[k], tables[k]]
        yield _lit(angle + 0.6, 0.50, contrast), [center, tables[k], inner[after]]
        yield _lit(angle + math.pi, 0.95, contrast), [inner[k], tables[k - 1], tables[k]]


def _at(angle: float, distance: float, uneven: float, rng: random.Random) -> Point:
    reach = RADIUS * distance * (1 + uneven * rng.uniform(-1, 1))
    return CENTER + reach * math.cos(angle), CENTER + reach * math.sin(angle)


def _lit(angle: float, base: float, contrast: float) -> float:
    """Return a facet's shade: its own, brighter where it faces the light, in one of a few steps."""
    shade = base + 0.30 * contrast * math.cos(angle - LIGHT) + 0.10 * contrast * math.cos(5 * angle)
    return round(min(1.0, max(0.0, shade)) * SHADES) / SHADES


def _paint(shade: float, tint: tuple[int, int, int]) -> str:
    """Mix from a deep slate over the tint to white."""
    deep = (64, 88, 120)
    mixed = (round(low + (high - low) * shade**0.75) for low, high in zip(deep, tint, strict=True))
    return "#" + "".join(f"{255 if shade > SPARKLE else channel:02x}" for channel in mixed)


def _outline(corners: list[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "Z"


def main() -> None:
    """Write every drawing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for cut in Cut:
        for color in Color:
            (FOLDER / f"{slug(cut, color)}.svg").write_text(draw(cut, color))


if __name__ == "__main__":
    main()
