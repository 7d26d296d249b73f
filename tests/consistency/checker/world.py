"""What there is to read: how many rows, slices and pages, and the keys by which the logs name them."""

from __future__ import annotations

import time

ITEMS = 60
SHELVES = 6
PAGES = 20
FIRST_STAMP = 1
"""The stamp of every row before the load begins."""

LABELS = 100
"""What an item is labelled with has the key of the item and so much."""
ALL = 200
"""The key of the whole table: its greatest stamp."""

ROW, SHELF, PAGE, TOTAL = range(4)
KINDS = ("row", "shelf", "page", "total")
COUNTS = {ROW: ITEMS, SHELF: SHELVES, PAGE: PAGES, TOTAL: 1}

Seen = list[tuple[int, int]]
"""The keys that a value was built from, each with the stamp that it shows."""

now = time.monotonic_ns
"""One clock for every process of a machine."""


def shelf_of(number: int) -> int:
    """Return the shelf on which an item stands at first."""
    return number % SHELVES


def pages_of(number: int) -> int:
    """Return the page that shows an item."""
    return (number - 1) // 3


def rows_of(page: int) -> list[int]:
    """Return the items that a page shows."""
    return [page * 3 + 1, page * 3 + 2, page * 3 + 3]


def labelled_of(page: int) -> int:
    """Return the item whose labels a page shows."""
    return page * 3 + 1
