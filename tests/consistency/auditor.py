"""Say of every value read whether it was stale against what was told, acknowledged or committed before."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from tests.consistency.hub import START, Hub

KINDS = ("told", "own", "phantom", "newer", "untold", "committed", "lasting", "error")
"""Stale against a write that was acknowledged and that the ledger knows of; older than what its transaction has written
itself; never committed; newer than the snapshot that its reader reads; stale against a write that was acknowledged
while it waited in the outbox; against one that was committed but not, or not yet, acknowledged; stale for ever; an
exception instead of a value."""
_LEVELS = (("told", "told"), ("acknowledged", "untold"), ("committed", "committed"))

Pairs = tuple[tuple[str, int], ...]


class History:
    """The newest version of one cell, by the moment from which it counts."""

    __slots__ = ("moments", "times", "versions")

    def __init__(self) -> None:
        self.moments: list[int] = []
        self.versions: list[int] = []
        self.times: list[int] = []


@dataclass
class Report:
    """What came of a run."""

    reads: int = 0
    stale: Counter[str] = field(default_factory=Counter)
    longest: Counter[str] = field(default_factory=Counter)
    """Microseconds between the write that a stale read missed and the end of that read."""
    lookups: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    seconds: float = 0.0
    """Of simulated time."""

    @property
    def ratio(self) -> float:
        """Hits among hits and misses."""
        asked = sum(self.lookups[result] for result in ("hit", "miss", "stale", "expired"))
        return self.lookups["hit"] / max(asked, 1)

    def violations(self, expected: Iterable[str]) -> dict[str, int]:
        """Return what went wrong beyond what is documented."""
        return {kind: count for kind, count in sorted(self.stale.items()) if count and kind not in expected}

    def per_million(self, kind: str) -> float:
        """Return stale reads of a kind per million reads."""
        return self.stale[kind] * 1_000_000 / max(self.reads, 1)


class Changed(Protocol):
    """What a transaction has written."""

    ident: int
    cells: dict[str, None]


class Miss(NamedTuple):
    """A cell that was read too old."""

    cell: str
    read: int
    missed: int
    kind: str
    age: int


class Auditor:
    """Keeps when each version of each cell was committed, acknowledged and told."""

    def __init__(self, hub: Hub, *, tracing: bool = False) -> None:
        self.hub = hub
        self.report = Report()
        self.tracing = tracing
        self.trace: deque[str] = deque(maxlen=400)
        self._histories: dict[str, dict[str, History]] = {level: {} for level, _ in _LEVELS}
        self._latest: dict[str, int] = {}

    def note(self, level: str, cells: Iterable[str], number: int) -> None:
        """Note that these cells had at least this version from now on."""
        if self.tracing:
            self.say(f"{level} {number}: {' '.join(cells)}")
        histories = self._histories[level]
        for cell in cells:
            history = histories.get(cell)
            if history is None:
                history = histories[cell] = History()
            history.moments.append(self.hub.moment)
            history.times.append(self.hub.now)
            history.versions.append(max(number, history.versions[-1] if history.versions else 0))
            if level == "committed":
                self._latest[cell] = number

    def check(self, value: Pairs, began: int, write: Changed | None = None, tracked: int | None = None) -> None:
        """Judge a value whose read began at a moment, inside of the transaction that made `write`.

        What the mirror judged may miss what came after the time `tracked`.
        """
        report, latest = self.report, self._latest
        report.reads += 1
        worst: Miss | None = None
        for cell, version in value:
            if write is not None or version < latest.get(cell, 0):
                miss = self._missed(cell, version, (began, tracked), write)
                if miss is not None and (worst is None or KINDS.index(miss.kind) < KINDS.index(worst.kind)):
                    worst = miss
        if worst is not None:
            self.count(worst, value)

    def check_snapshot(self, value: Pairs, snapshot: int) -> None:
        """Judge a value that was read in a transaction which sees so many commits."""
        for cell, version in value:
            if version > snapshot and not cell.startswith("feed"):  # which no database knows
                self.count(Miss(cell, version, snapshot, "newer", 0), value)
                return

    def count(self, miss: Miss, value: Pairs) -> None:
        """Count a stale read."""
        report = self.report
        report.stale[miss.kind] += 1
        report.longest[miss.kind] = max(report.longest[miss.kind], miss.age)
        if len(report.examples) < 5 or (miss.kind == "told" and len(report.examples) < 10):
            text = f"{self.hub.now - START} {miss} in {value} read by {self.hub.current().process.name}"
            report.examples.append(text)
            self.say(f"STALE {text}")

    def newest(self, cell: str) -> int:
        """Return the version that was committed last."""
        return self._latest.get(cell, 0)

    def say(self, text: str) -> None:
        """Keep what happened, if anybody wants to know."""
        if self.tracing:
            process = self.hub.process
            name = process.name if process else "-"
            self.trace.append(f"{self.hub.now - START:>10} {name} {id(self.hub.current()) % 9973} {text}")

    def _missed(self, cell: str, version: int, since: tuple[int, int | None], write: Changed | None) -> Miss | None:
        began, tracked = since
        if write is not None and cell in write.cells:
            return None if version == -write.ident else Miss(cell, version, -write.ident, "own", 0)
        if version < 0:
            return Miss(cell, version, 0, "phantom", 0)
        for level, kind in _LEVELS:
            history = self._histories[level].get(cell)
            if history is None:
                continue
            at = bisect_right(history.versions, version)
            if at == len(history.versions) or (tracked is not None and history.times[at] >= tracked):
                continue
            if history.moments[at] < began:
                return Miss(cell, version, history.versions[at], kind, self.hub.now - history.times[at])
        return None
