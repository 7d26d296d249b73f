"""Which policy keeps more of what is asked for: `python -m benchmarks.policies` prints hit ratios by load and size."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

from cachekit.localcaches import POLICIES, local

KEYS = 20_000
LOOKUPS = 100_000
SIZES = (200, 2_000)


def zipf(dice: random.Random, exponent: float = 1.0) -> Iterator[int]:
    """Ask for few keys often and for most of them seldom, as visitors of a shop do."""
    weights = list(itertools.accumulate(1 / rank**exponent for rank in range(1, KEYS + 1)))
    while True:
        yield from dice.choices(range(KEYS), cum_weights=weights, k=1_000)


def scanned(dice: random.Random) -> Iterator[int]:
    """The same, and every now and then somebody reads a long row of keys once: a crawler, an export."""
    visitors, scan = zipf(dice), itertools.count(KEYS)
    while True:
        yield from itertools.islice(visitors, 4_000)
        yield from itertools.islice(scan, 2_000)


def shifting(dice: random.Random) -> Iterator[int]:
    """The same, but what is asked for often becomes another each now and then: news, offers of the day."""
    visitors = zipf(dice)
    for start in itertools.count(0, 1_000):
        for key in itertools.islice(visitors, 20_000):
            yield (key + start) % KEYS


LOADS: dict[str, Callable[[random.Random], Iterator[int]]] = {
    "few keys often (Zipf)": zipf,
    "with scans": scanned,
    "with new favourites": shifting,
}


def hit_ratio(load: Callable[[random.Random], Iterator[int]], policy: str, size: int, lookups: int = LOOKUPS) -> float:
    """Return the share of look-ups that a cache of this size answers."""

    @local(maxsize=size, policy=policy)
    def asked(key: int) -> int:
        return key

    for key in itertools.islice(load(random.Random(1)), lookups):
        asked(key)
    return asked.cache_info().hits / lookups


def main() -> None:
    print(f"| load | size | {' | '.join(POLICIES)} |")
    print(f"|---|---:|{'---:|' * len(POLICIES)}")
    for name, load in LOADS.items():
        for size in SIZES:
            ratios = [f"{hit_ratio(load, policy, size):.0%}".replace("%", " %") for policy in POLICIES]
            print(f"| {name} | {size:,} | {' | '.join(ratios)} |")


if __name__ == "__main__":
    main()
