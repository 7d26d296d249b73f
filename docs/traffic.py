"""Write what an hour of visitors would have left in the demo's statistics: the pictures cannot wait for it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from cachekit.core.tally import HOUR, MINUTE, QUARTER
from cachekit.stores import store_for
from cachekit.stores.shelf import Bucket, shelf_for

ALIAS = "default"
ASKED = {
    ("view", "demo_site.shop.views.product_page"): 0.55,
    ("fragment", "home-tiles"): 0.25,
    ("function", "demo_site.shop.caching.tiles"): 0.15,
    ("query", "shop.category"): 0.05,
}
"""Doors with one name each, and their shares of the requests."""
WRITES = {38: "shop.product", 14: "shop.category shop.category#3", 6: "shop.order shop.order#77"}
"""Invalidations by their age in minutes."""
COSTLY = (38, 14)


def requests(age: int) -> float:
    """Return how many requests there were so many minutes ago."""
    return 260 + 120 * math.sin(age / 9) + 40 * math.sin(age * 2.4)


def missed(age: int) -> float:
    """Return the share of misses: many while the cache is cold, and again after each costly write."""
    cold = 0.5 * math.exp((age - 59) / 4)
    return 0.02 + cold + sum(0.22 * math.exp((age - write) / 2) for write in COSTLY if age <= write)


def counts(age: int) -> Iterator[tuple[str, str, str, int]]:
    """Yield door, name, result and number of each kind of lookup, so many minutes ago."""
    share = missed(age)
    for (door, name), part in ASKED.items():
        for result, ratio in (("hit", 1 - share), ("miss", share * 0.4), ("stale", share * 0.6)):
            yield door, name, result, round(requests(age) * part * ratio)


def write() -> None:
    """Fill the buckets of the last hour, and put the writes into the list of invalidations."""
    now = int(time.time()) // MINUTE * MINUTE
    sums: dict[Bucket, Counter[str]] = {}
    for age in range(59, 0, -1):
        start = now - MINUTE * age
        for door, name, result, times in counts(age):
            for kind, unit in (("m", MINUTE), ("q", QUARTER), ("h", HOUR)):
                sums.setdefault(Bucket(kind, start // unit * unit), Counter())[f"{door}\n{result}"] += times
            sums.setdefault(Bucket("n", start // HOUR * HOUR), Counter())[f"{door}\n{result}\n{name}"] += times
    shelf_for(ALIAS).add(sums)
    tell(now)


def tell(now: int) -> None:
    """Replace the invalidations of the shop's setting up by the hour's."""
    store: Any = store_for(ALIAS)
    events = store.slot_key("events")
    store.client.delete(events)
    for age, tags in WRITES.items():
        at = (now - MINUTE * age) * 1000
        store.client.xadd(events, {"point": at * 1000, "tags": tags, "why": "write", "by": ""}, id=f"{at}-0")
