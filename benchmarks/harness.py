"""What numbers are made of: quantiles of samples, ratios round by round, and the machine that they were taken on."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Chunk(NamedTuple):
    """What one process measured in one round: microseconds a call, sample by sample, and CPU microseconds a call."""

    us: list[float]
    cpu_us: float
    calls: int


class Ratio(NamedTuple):
    """A ratio over all rounds: the lowest, the median and the highest."""

    low: float
    median: float
    high: float


@dataclass
class Series:
    """All rounds of one peer at one operation."""

    chunks: list[Chunk] = field(default_factory=list)

    @property
    def rounds(self) -> list[float]:
        """The median of each round, in microseconds."""
        return [statistics.median(chunk.us) for chunk in self.chunks]

    def figures(self) -> dict[str, Any]:
        """Return what is kept of it."""
        flat = sorted(taken for chunk in self.chunks for taken in chunk.us)
        return {
            "p50_us": quantile(flat, 0.5),
            "p95_us": quantile(flat, 0.95),
            "client_cpu_us": statistics.median(chunk.cpu_us for chunk in self.chunks),
            "calls": sum(chunk.calls for chunk in self.chunks),
            "rounds_us": self.rounds,
        }


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value that this share of sorted values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def ratio(mine: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Compare round by round, so that what disturbs a whole round disturbs no ratio."""
    found = [own / other for own, other in zip(mine, theirs, strict=True)]
    return Ratio(min(found), statistics.median(found), max(found))


def chunk_size(us: float, budget_us: float) -> tuple[int, int]:
    """Return how many samples a chunk takes, and how many calls make a sample: quick calls are timed by tens."""
    us = max(us, 0.05)
    repeat = 1 if us >= 25 else min(100, int(25 / us) + 1)
    return max(5, min(400, int(budget_us / (us * repeat)))), repeat


def machine() -> dict[str, Any]:
    """Return what the numbers were taken on; they carry over to other machines as ratios only."""
    return {"python": sys.version.split()[0], "system": platform.system(), "cores": os.cpu_count()}
