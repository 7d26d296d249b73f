"""Which keys are asked for most, by a sample.

Space-Saving (Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements", 2005),
whose counts fade with time.
"""

from __future__ import annotations

import random
import threading

SAMPLE = 8
"""One look-up in so many is counted."""
SIZE = 128
"""So many keys are watched."""
WINDOW = 1024
"""After so many counted look-ups all counts are halved."""
LEAST = 8
"""So often a key must have been counted for certain: some sixty look-ups of late."""


class Hot:
    """A bounded sketch; `dice` returns numbers from 0 to 1."""

    def __init__(self, dice: random.Random | None = None) -> None:
        self._dice = dice or random.Random()  # noqa: S311 - no secret
        self._lock = threading.Lock()
        self._counts: dict[object, tuple[int, int]] = {}
        """How often a key was counted, and how much of that may have been others'."""
        self._noted = 0

    def seen(self, key: object) -> bool:
        """Note that a key was asked for; tell whether it is hot."""
        if self._dice.random() * SAMPLE < 1:
            with self._lock:
                self._count(key)
        count, others = self._counts.get(key, (0, 0))
        return count - others >= LEAST

    def unlock(self) -> None:
        """Begin with a lock that nobody holds: in a child of a fork."""
        self._lock = threading.Lock()

    def _count(self, key: object) -> None:
        counts = self._counts
        known = counts.get(key)
        if known is None and len(counts) >= SIZE:
            coldest = min(counts, key=counts.__getitem__)
            floor, _ = counts.pop(coldest)
            known = floor, floor  # what it takes over may have been asked for as often before
        count, others = known or (0, 0)
        counts[key] = count + 1, others
        self._noted += 1
        if self._noted % WINDOW == 0:
            self._counts = {one: (n // 2, o // 2) for one, (n, o) in counts.items() if n > 1}
