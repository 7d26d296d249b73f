"""Remember read points that this process was given lately, for readers of what is known to be older than now."""

from __future__ import annotations

from typing import NamedTuple

SPACING = 0.001
SHARE = 8
MOST = 256


class Sample(NamedTuple):
    """A read point, and the moment (seconds, monotonic) by which the ledger had given it."""

    received: float
    epoch: bytes
    read_point: int


class Samples:
    """Read points of the ledger's present epoch, the further back the fewer: about an eighth of their age apart.

    One that is older than need be is as right as any: it only makes more of what depends on it stale.
    """

    def __init__(self) -> None:
        self._kept: list[Sample] = []

    def note(self, received: float, epoch: bytes, read_point: int) -> None:
        """Keep a read point; `received` is a moment at which it had been given."""
        kept = self._kept
        if not epoch or (kept and received - kept[-1].received < SPACING and kept[-1].epoch == epoch):
            return
        if kept and kept[-1].epoch != epoch:
            kept = self._kept = []
        kept.append(Sample(received, epoch, read_point))
        if len(kept) > MOST:
            self._kept = _thinned(kept, received)

    def before(self, moment: float, epoch: bytes) -> int | None:
        """Return the last read point given by a moment, None if none is known of this epoch."""
        for one in reversed(self._kept):
            if one.received <= moment:
                return one.read_point if one.epoch == epoch else None
        return None

    def forget(self) -> None:
        """Begin anew."""
        self._kept = []


def _thinned(kept: list[Sample], now: float) -> list[Sample]:
    """Return the newest, and of the others each that lies far enough before the one after it."""
    chosen = [kept[-1]]
    for one in reversed(kept[:-1]):
        if chosen[-1].received - one.received >= max(SPACING, (now - one.received) / SHARE):
            chosen.append(one)
    return chosen[::-1]
