"""The mirror: a process's own copy of the points that moved lately, kept by the ledger's stream of events.

It holds every point that moved after its `horizon`, as the events tell in the order of their `seq`: an intent lies in
the future, so "newer than the newest seen" would hide what comes after it. A heartbeat compares `seq` with the root's:
where both are equal the mirror is complete up to the root's `last`. Such a proof holds for `MAX_LAG` seconds from when
the question was sent; when it is older nothing may be judged here.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from cachekit.core import dependencies, tags

MAX_LAG = 0.4
"""Seconds for which a proof holds: what a tracked read may miss."""
MOST_POINTS = 100_000
MOST_DOUBTS = 10_000
SLICE = 16
"""Digits of a point in an event."""


class Event(NamedTuple):
    """One event of the ledger's stream, as a mirror reads it."""

    seq: int
    epoch: bytes
    moved: bytes


class Beat(NamedTuple):
    """What the root says of itself; `since` as in `Found`."""

    epoch: bytes
    seq: int
    last: int
    since: int = 0


class Mirror:
    """One thread follows (`start`, `apply`, `prove`); every thread judges."""

    def __init__(self) -> None:
        self.points: dict[bytes, int] = {}
        self.epoch = b""
        self.seq = -1
        self.horizon: float = math.inf
        """The mirror knows of no point that moved at or before this ledger time."""
        self.upto = 0
        """It is complete up to this ledger time."""
        self.since = 0
        self.until = 0.0
        """Until then (monotonic, seconds) the last proof holds."""
        self.version = 0
        """Another one whenever something that was judged fresh may have become stale."""
        self._held = False
        self._doubts: dict[bytes, float] = {}
        self._doubts_all = 0.0
        """Where so much was written that no more is noted: everything is in doubt since this moment; 0 where not."""
        self._lock = threading.Lock()

    # Judging

    def shows(self, names: Sequence[bytes], epoch: bytes, checked: int, oldest: int) -> bool:
        """Tell whether an entry that was fresh at ledger time `checked` is so still; the caller looks at the proof."""
        points, doubts = self.points, self._doubts  # before the horizon: whoever starts anew moves that first
        if epoch != self.epoch or checked < self.horizon or oldest < self.since or self._doubts_all:
            return False
        return not any(points.get(name, 0) > checked or name in doubts for name in names)

    # What this process writes itself

    def doubt(self, texts: Iterable[str], moment: float) -> None:
        """Note that this process moved points, before a moment (monotonic): they are unknown until they were seen."""
        self.doubt_named(map(name_of, texts), moment)

    def doubt_named(self, names: Iterable[bytes], moment: float) -> None:
        """Like `doubt`, by the names that tags have in events."""
        with self._lock:
            if len(self._doubts) < MOST_DOUBTS:
                self._doubts.update(dict.fromkeys(names, moment))
            else:  # nobody follows, or not for long: names would pile up
                self._doubts_all = moment
            self.version += 1

    def hold(self, *, on: bool) -> None:
        """Prove nothing while the store has not been told what this process owes it."""
        self._held = on
        self.void()

    def void(self) -> None:
        """Take the proof back: who answers may be another, or may have missed something."""
        self.until = 0.0

    def unlock(self) -> None:
        """Begin with a lock that nobody holds, and no proof: in a child of a fork."""
        self._lock = threading.Lock()
        self.void()

    # Following

    def start(self, beat: Beat) -> None:
        """Know nothing of what moved until now, and follow from here."""
        with self._lock:
            self.until, self.horizon = 0.0, math.inf
            self.points = {}
            self.epoch, self.seq, self.upto, self.since = beat.epoch, beat.seq, beat.last, beat.since
            self.version += 1
            self.horizon = beat.last

    def apply(self, events: Iterable[Event]) -> bool:
        """Take in events in their order; False where one is missing or of another epoch."""
        for event in events:
            if event.seq <= self.seq:
                continue
            if event.seq != self.seq + 1 or event.epoch != self.epoch or event.moved == b"*":
                return False
            with self._lock:
                self.points.update(_moved(event.moved))
                self.seq = event.seq
                self.version += 1  # after the points: who has seen it has seen them
        return len(self.points) <= MOST_POINTS

    def prove(self, beat: Beat, asked: float) -> bool:
        """Take what the root said to a question sent at `asked` (monotonic); False where the mirror is not complete."""
        if beat.epoch != self.epoch or beat.seq != self.seq:
            return False
        with self._lock:
            seen = [name for name, moment in self._doubts.items() if moment <= asked]
            for name in seen:
                del self._doubts[name]
            if self._doubts_all <= asked:
                self._doubts_all = 0.0
            if beat.since != self.since:
                self.since, self.version = beat.since, self.version + 1
            self.upto = max(self.upto, beat.last)
            if not self._held:
                self.until = asked + MAX_LAG
        return True


def name_of(text: str) -> bytes:
    """Return how a tag is called in events."""
    tag = tags.parse(text)
    return b"d" + tag.digest if tag.digest else b"w" + tag.text.encode()


def names_of(blob: bytes) -> tuple[bytes, ...]:
    """Return how what an entry depends on is called in events, whole things above it included."""
    where = dependencies.layout(blob)
    return (*_whole(where.whole), *(b"d" + digest for _, digests in where.places for digest in digests))


@lru_cache(maxsize=1024)
def _whole(names: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return how whole things are called in events: the same objects for all entries that have them above."""
    return tuple(b"w" + name for name in names)


def _moved(data: bytes) -> Iterable[tuple[bytes, int]]:
    at = 0
    while at < len(data):
        start = at + 2
        end = start + int.from_bytes(data[at:start], "big")
        at = end + SLICE
        yield data[start:end], int(data[end:at])
