"""Compare every read with what was true before it began, and count what was wrong, fault by fault."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.consistency.checker.logs import FINAL, HIT, Read
from tests.consistency.checker.truth import Truth
from tests.consistency.checker.world import ALL, FIRST_STAMP, KINDS, LABELS, SHELF

EXAMPLES = 12


class Window(NamedTuple):
    """From the beginning of a fault to that of the next."""

    fault: str
    start: int


class Standing(NamedTuple):
    """A row of the outbox: tags that a cache had not got between these times."""

    start: int
    end: int


@dataclass
class Score:
    """What was read and how it went, in a run or in the windows of one fault."""

    reads: int = 0
    hits: int = 0
    writes: int = 0
    stale: Counter[str] = field(default_factory=Counter)
    """By kind: acknowledged, untold, committed, outside, phantom, own."""
    longest: Counter[str] = field(default_factory=Counter)
    """The greatest age in nanoseconds, by the same kinds."""
    missed: set[tuple[int, int]] = field(default_factory=set)
    """The acknowledged writes (stamp, key) that some later read did not show."""
    errors: Counter[str] = field(default_factory=Counter)
    """What users saw that the database had not caused: read or write, and the exception."""


@dataclass
class Verdicts:
    """The scores of a run."""

    whole: Score = field(default_factory=Score)
    faults: dict[str, Score] = field(default_factory=dict)
    lasting: dict[str, str] = field(default_factory=dict)
    """Values that were stale when all had been quiet for longer than any lease."""
    examples: list[str] = field(default_factory=list)
    delays: list[int] = field(default_factory=list)
    """How old, in nanoseconds, what reads did not show of writes from outside Django."""


class Judge:
    """Knows the truth of a run."""

    def __init__(self, truth: Truth, windows: Sequence[Window], standing: Sequence[Standing] = ()) -> None:
        self.truth = truth
        self.windows = windows
        self.starts = [one.start for one in windows]
        self.standing = standing
        self.verdicts = Verdicts(faults={one.fault: Score() for one in windows})
        self._acknowledged, self._committed, self._outside = truth.acknowledged, truth.committed, truth.outside

    def judge(self, reads: Iterable[Read]) -> Verdicts:
        """Judge every read."""
        whole, valid = self.verdicts.whole, self.truth.writes
        committed = self._committed
        for read in reads:
            score = self.score(read.start)
            score.reads += 1
            score.hits += read.flags & HIT
            for key, stamp in read.seen:
                if stamp < committed[key].at(read.start):
                    self.behind(read, key, stamp)
                if stamp not in valid and stamp != FIRST_STAMP:
                    self.found(read, key, stamp, "phantom", read.start, read.start)
            if read.kind == SHELF:
                self.missing(read)
        for write in valid.values():
            self.score(write.begin).writes += 1
        for score in self.verdicts.faults.values():
            whole.reads += score.reads
            whole.hits += score.hits
            whole.writes += score.writes
            whole.stale += score.stale
            whole.missed |= score.missed
            whole.errors += score.errors
            whole.longest |= score.longest
        return self.verdicts

    def score(self, time: int) -> Score:
        """Return the score of the fault that had begun last."""
        return self.verdicts.faults[self.windows[max(bisect_right(self.starts, time) - 1, 0)].fault]

    def behind(self, read: Read, key: int, stamp: int) -> None:
        """Say against what a read is stale that shows less than what is committed."""
        if read.flags & FINAL:
            self.verdicts.lasting[f"{KINDS[read.kind]} {read.number}"] = f"key {key} shows {stamp}"
        for kind, timelines in (("acknowledged", self._acknowledged), ("outside", self._outside)):
            if stamp < timelines[key].at(read.start):
                time, missed = timelines[key].first_after(stamp)
                self.found(read, key, stamp, kind, time, missed)
                return
        time, missed = self._committed[key].first_after(stamp)
        self.found(read, key, stamp, "committed", time, missed)

    def missing(self, read: Read) -> None:
        """Look for items that should stand on a shelf and are not shown."""
        shown = {key for key, _ in read.seen}
        for item in self.truth.expected(read.number, read.start) - shown:
            if not self.truth.may_have_left(item, read.number, read.start, read.end):
                stamp = self._acknowledged[item].at(read.start)
                time, _ = self._acknowledged[item].first_after(stamp - 1)
                self.found(read, item, 0, "acknowledged", time, stamp)
                if read.flags & FINAL:
                    self.verdicts.lasting[f"{KINDS[read.kind]} {read.number}"] = f"item {item} is missing"

    def found(self, read: Read, key: int, stamp: int, kind: str, time: int, missed: int) -> None:
        """Count a stale read where the write belongs that it misses."""
        if kind == "acknowledged" and self.untold(missed, read.start):
            kind = "untold"
        score, age = self.score(time), read.start - time
        score.stale[kind] += 1
        score.longest[kind] = max(score.longest[kind], age)
        if kind == "outside":
            self.verdicts.delays.append(age)
        if kind == "acknowledged":
            score.missed.add((missed, key))
        if kind != "outside" and len(self.verdicts.examples) < EXAMPLES:
            fault = self.windows[max(bisect_right(self.starts, time) - 1, 0)]
            name = "the table" if key == ALL else f"labels of {key - LABELS}" if key > LABELS else f"item {key}"
            self.verdicts.examples.append(
                f"{kind}: {KINDS[read.kind]} {read.number} ({'hit' if read.flags & HIT else 'computed'}) at "
                f"{read.start} shows {name} as {stamp}; {missed} was known {age / 1e6:.1f} ms before, at {time}, "
                f"{(time - fault.start) / 1e6:.0f} ms into '{fault.fault}'"
            )

    def untold(self, stamp: int, time: int) -> bool:
        """Tell whether a write's tags may still have stood in the outbox when a read began."""
        write = self.truth.writes.get(stamp)
        if write is None:
            return False
        latest = (write.acknowledged or write.committed) + 1_000_000_000
        return any(write.begin <= one.start <= latest and one.end > time for one in self.standing)

    def note(self, lines: Iterable[tuple[str, list[Any]]]) -> None:
        """Count what the processes complained of themselves."""
        for _, line in lines:
            match line:
                case ["error", time, doing, name, text, by_database]:
                    if not by_database:
                        self.score(time).errors[f"{doing}: {name}"] += 1
                        if len(self.verdicts.examples) < EXAMPLES:
                            self.verdicts.examples.append(f"error while {doing}ing: {name}: {text}")
                case ["own", time, key, wanted, shown]:
                    self.score(time).stale["own"] += 1
                    if len(self.verdicts.examples) < EXAMPLES:
                        self.verdicts.examples.append(f"own: item {key} shows {shown}, written here: {wanted}")
