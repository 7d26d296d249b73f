"""Compare every read with what was true before it began, and count what was wrong, fault by fault."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from tests.consistency.checker.logs import FINAL, HIT, Read
from tests.consistency.checker.truth import Truth
from tests.consistency.checker.world import ALL, FIRST_STAMP, KINDS, LABELS, SHELF

KINDS_OF_WRONG = ("acknowledged", "untold", "phantom", "committed", "outside")
"""The worst first."""
EXAMPLES = 4
"""So many of each kind are told in full."""


class Window(NamedTuple):
    """From the beginning of a fault to that of the next."""

    fault: str
    start: int


class Wrong(NamedTuple):
    """What a read shows of one key, and the write that it should have shown."""

    kind: str
    key: int
    stamp: int
    time: int
    missed: int = 0


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

    def add(self, other: Score) -> None:
        """Count another's in."""
        self.reads += other.reads
        self.hits += other.hits
        self.writes += other.writes
        self.stale += other.stale
        self.longest |= other.longest
        self.missed |= other.missed
        self.errors += other.errors


@dataclass
class Verdicts:
    """The scores of a run."""

    whole: Score = field(default_factory=Score)
    faults: dict[str, Score] = field(default_factory=dict)
    lasting: dict[str, str] = field(default_factory=dict)
    """Values that were stale when all had been quiet for longer than any lease."""
    told: dict[str, list[str]] = field(default_factory=dict)
    """The first of each kind in full."""
    delays: dict[int, int] = field(default_factory=dict)
    """For each write from outside Django for how many nanoseconds some read did not show it."""

    @property
    def examples(self) -> list[str]:
        """Return what was told of every kind."""
        return [text for found in self.told.values() for text in found]

    def tell(self, kind: str, text: Callable[[], str]) -> None:
        """Keep an example, unless there are enough of its kind."""
        found = self.told.setdefault(kind, [])
        if len(found) < EXAMPLES:
            found.append(f"{kind}: {text()}")


class Judge:
    """Knows the truth of a run."""

    def __init__(self, truth: Truth, windows: Sequence[Window], standing: Sequence[Standing] = ()) -> None:
        self.truth = truth
        self.windows = windows
        self.starts = [one.start for one in windows]
        self.standing = standing
        self.verdicts = Verdicts(faults={one.fault: Score() for one in windows})

    def judge(self, reads: Iterable[Read]) -> Verdicts:
        """Judge every read; one that is wrong in several ways counts once, for the worst."""
        committed, valid = self.truth.committed, {FIRST_STAMP, *self.truth.writes}
        for read in reads:
            score = self.score(read.start)
            score.reads += 1
            score.hits += read.flags & HIT
            wrong = [self.behind(read, key, stamp) for key, stamp in read.seen if stamp < committed[key].at(read.start)]
            wrong += [Wrong("phantom", key, stamp, read.start) for key, stamp in read.seen if stamp not in valid]
            if read.kind == SHELF:
                wrong += self.missing(read)
            if wrong:
                self.found(read, wrong)
        for write in self.truth.writes.values():
            self.score(write.begin).writes += 1
            if write.outside:
                self.verdicts.delays.setdefault(write.stamp, 0)
        for score in self.verdicts.faults.values():
            self.verdicts.whole.add(score)
        return self.verdicts

    def score(self, time: int) -> Score:
        """Return the score of the fault that had begun last."""
        return self.verdicts.faults[self.windows[max(bisect_right(self.starts, time) - 1, 0)].fault]

    def behind(self, read: Read, key: int, stamp: int) -> Wrong:
        """Say against what a read is stale that shows less than what is committed."""
        for kind, timelines in (("acknowledged", self.truth.acknowledged), ("outside", self.truth.outside)):
            if stamp < timelines[key].at(read.start):
                time, missed = timelines[key].first_after(stamp)
                untold = kind == "acknowledged" and self.untold(missed, read.start)
                return Wrong("untold" if untold else kind, key, stamp, time, missed)
        time, missed = self.truth.committed[key].first_after(stamp)
        return Wrong("committed", key, stamp, time, missed)

    def missing(self, read: Read) -> Iterator[Wrong]:
        """Yield the items that should stand on a shelf and are not shown."""
        shown = {key for key, _ in read.seen}
        for item in self.truth.expected(read.number, read.start) - shown:
            if not self.truth.may_have_left(item, read.number, read.start, read.end):
                stamp = self.truth.acknowledged[item].at(read.start)
                time, _ = self.truth.acknowledged[item].first_after(stamp - 1)
                yield Wrong("untold" if self.untold(stamp, read.start) else "acknowledged", item, 0, time, stamp)

    def found(self, read: Read, wrong: list[Wrong]) -> None:
        """Count a wrong read where the oldest write belongs that it misses."""
        kind = min((one.kind for one in wrong), key=KINDS_OF_WRONG.index)
        worst = min((one for one in wrong if one.kind == kind), key=lambda one: one.time)
        score, age = self.score(worst.time), read.start - worst.time
        score.stale[kind] += 1
        score.longest[kind] = max(score.longest[kind], age)
        if kind == "outside":
            self.verdicts.delays[worst.missed] = max(self.verdicts.delays.get(worst.missed, 0), age)
        if kind == "acknowledged":
            score.missed.add((worst.missed, worst.key))
        self.verdicts.tell(kind, partial(self.telling, read, worst))
        if read.flags & FINAL and kind != "phantom":
            self.verdicts.lasting[f"{KINDS[read.kind]} {read.number}"] = f"key {worst.key} shows {worst.stamp}"

    def telling(self, read: Read, wrong: Wrong) -> str:
        """Say in full what was wrong with a read, and where it lies in the faults."""
        fault, key = self.windows[max(bisect_right(self.starts, wrong.time) - 1, 0)], wrong.key
        name = "the table" if key == ALL else f"labels of {key - LABELS}" if key > LABELS else f"item {key}"
        source = "hit" if read.flags & HIT else "computed"
        return (
            f"{KINDS[read.kind]} {read.number} ({source}) at {read.start} shows {name} as "
            f"{wrong.stamp}; {wrong.missed} was known {(read.start - wrong.time) / 1e6:.1f} ms before, "
            f"{(wrong.time - fault.start) / 1e6:.0f} ms into '{fault.fault}'"
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
                        self.verdicts.tell("error", partial("{}: {}: {}".format, doing, name, text))
                case ["own", time, key, wanted, shown]:
                    self.score(time).stale["own"] += 1
                    self.verdicts.tell("own", partial("item {} shows {}, written here: {}".format, key, shown, wanted))
