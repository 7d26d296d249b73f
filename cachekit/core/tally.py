"""Count what the doors were asked for: lossless under threads, bounded in names, free of locks on the hot path."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

Asked: TypeAlias = tuple[str, str, str, str]
"""Alias, door, name and result of one lookup."""

OTHER = "other"
"""The name under which the names beyond the bound are counted."""


class Tally:
    """Counts of `(alias, door, name, result)` since the process began.

    A counter is an `itertools.count`: one step of it is one C call, which no other thread can interrupt, so nothing is
    lost and nothing is locked. Reading takes a step too, and subtracts the steps that reading took.
    """

    def __init__(self, *, names: int = 200) -> None:
        self._bound = names
        self._lock = threading.Lock()
        self._steps: dict[Asked, Callable[[], int]] = {}
        self._reads: dict[Asked, int] = {}
        self._names: dict[tuple[str, str], set[str]] = {}

    def add(self, asked: Asked, times: int = 1) -> bool:
        """Count lookups of one kind; True when nothing like it had been counted before."""
        try:
            step = self._steps[asked]
        except KeyError:
            return self._add_new(asked, times)
        if times == 1:
            step()
        else:
            _repeat(step, times)
        return False

    def step(self, asked: Asked) -> Callable[[], object] | None:
        """Return what counts one more lookup of a kind that has a counter of its own."""
        return self._steps.get(asked)

    def totals(self) -> dict[Asked, int]:
        """Return how often each was counted so far."""
        with self._lock:
            found = {}
            for asked, step in self._steps.items():
                reads = self._reads[asked]
                found[asked] = step() - reads
                self._reads[asked] = reads + 1
            return found

    def _add_new(self, asked: Asked, times: int) -> bool:
        alias, door, name, result = asked
        with self._lock:
            known = self._names.setdefault((alias, door), set())
            if name not in known and len(known) >= self._bound:
                asked = (alias, door, OTHER, result)
            else:
                known.add(name)
            new = asked not in self._steps
            if new:
                self._reads[asked] = 0
                self._steps[asked] = itertools.count().__next__
            _repeat(self._steps[asked], times)
        return new


def _repeat(step: Callable[[], int], times: int) -> None:
    collections.deque(itertools.starmap(step, itertools.repeat((), times)), maxlen=0)


@dataclasses.dataclass(slots=True)
class Counts:
    """How lookups ended; a ratio is only ever made of hits and misses."""

    hit: int = 0
    miss: int = 0
    """Nothing was there."""
    expired: int = 0
    """Its time was over."""
    stale: int = 0
    """Something it depended on had been invalidated."""
    bypass: int = 0
    error: int = 0

    def add(self, result: str, times: int) -> None:
        """Count a lookup of this result so many times; results of another version of cachekit are left out."""
        if result in RESULTS:
            setattr(self, result, getattr(self, result) + times)

    def plus(self, other: Counts) -> Counts:
        """Return the sum of both."""
        return Counts(*(getattr(self, name) + getattr(other, name) for name in RESULTS))

    @property
    def misses(self) -> int:
        """The lookups after which the value had to be computed."""
        return self.miss + self.expired + self.stale

    @property
    def asked(self) -> int:
        """The lookups that the ratio is made of."""
        return self.hit + self.misses

    @property
    def total(self) -> int:
        """Every lookup, also those that were never going to be answered from the cache."""
        return self.asked + self.bypass + self.error

    @property
    def ratio(self) -> float | None:
        """Hits among hits and misses, 0 to 1; None where nothing was asked."""
        return self.hit / self.asked if self.asked else None


RESULTS = tuple(field.name for field in dataclasses.fields(Counts))


def total(counts: Iterable[Counts]) -> Counts:
    """Add them all."""
    result = Counts()
    for each in counts:
        result = result.plus(each)
    return result


class Window(NamedTuple):
    """A stretch of time up to now, and the width of one point of its chart, in seconds."""

    name: str
    span: int
    step: int
    unit: int

    def starts(self, now: float) -> range:
        """Return where its points begin; the last one is still running."""
        last = int(now) // self.step * self.step
        return range(last - self.span + self.step, last + 1, self.step)

    def buckets(self, now: float) -> range:
        """Return the stored buckets (minutes, quarters or hours) that its points are made of."""
        first = self.starts(now)[0]
        return range(first, int(now) // self.unit * self.unit + 1, self.unit)


MINUTE, QUARTER, HOUR, DAY = 60, 900, 3_600, 86_400

WINDOWS: Mapping[str, Window] = {
    window.name: window
    for window in (
        Window("1h", HOUR, MINUTE, MINUTE),
        Window("6h", 6 * HOUR, 5 * MINUTE, MINUTE),
        Window("24h", DAY, QUARTER, QUARTER),
        Window("7d", 7 * DAY, 2 * HOUR, HOUR),
        Window("30d", 30 * DAY, 6 * HOUR, HOUR),
    )
}
