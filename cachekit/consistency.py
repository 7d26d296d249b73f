"""How right the cache was: what audits and the shadow mode counted, and the nines of consistency."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping

from cachekit import hooks, stats
from cachekit.core.tally import WINDOWS
from cachekit.hooks import Lookup
from cachekit.stores.shelf import Bucket, shelf_for

RIGS = ("audit", "shadow")


@dataclasses.dataclass(frozen=True)
class Checked:
    """What came of comparing what a door would serve with what it computes."""

    counts: Mapping[str, int]

    @property
    def compared(self) -> int:
        """How many comparisons said something."""
        return self.times("match") + self.mismatches

    @property
    def mismatches(self) -> int:
        """How many of them found another value, though nothing was invalidated."""
        return self.times("mismatch")

    @property
    def nines(self) -> float | None:
        """The share of mismatches as -log10; infinite without any; None where nothing was compared."""
        if not self.compared:
            return None
        return -math.log10(self.mismatches / self.compared) if self.mismatches else math.inf

    @property
    def at_least(self) -> float:
        """How many nines so many comparisons can show at most."""
        return math.log10(self.compared) if self.compared else 0.0

    def times(self, result: str, seconds: int = 0) -> int:
        """Return how often this came out."""
        return self.counts.get(f"{result}-{seconds}" if seconds else result, 0)


def count_audit(event: hooks.Audited) -> None:
    """Count an audit, or another look at a mismatch."""
    after = f"-{event.seconds}" if event.seconds else ""
    stats.count(Lookup(event.alias, event.door, event.name, f"audit-{event.result}{after}"))


def count_shadow(event: hooks.Shadowed) -> None:
    """Count what the cache would have done."""
    stats.count(Lookup(event.alias, event.door, event.name, f"shadow-{event.result}"))


def checked(alias: str, window: str = "24h", now: float | None = None) -> dict[tuple[str, str], Checked]:
    """Return what was found by rig (audit, shadow) and door, over a window. Raises StoreUnavailable."""
    chosen, now = WINDOWS[window], time.time() if now is None else now
    kind = stats.KINDS[chosen.unit]
    found: dict[tuple[str, str], dict[str, int]] = {}
    for fields in shelf_for(alias).read([Bucket(kind, start) for start in chosen.buckets(now)]):
        for field, times in fields.items():
            door, _, result = field.partition("\n")
            rig, _, outcome = result.partition("-")
            if rig in RIGS and outcome:
                sums = found.setdefault((rig, door), {})
                sums[outcome] = sums.get(outcome, 0) + times
    return {key: Checked(sums) for key, sums in sorted(found.items())}
