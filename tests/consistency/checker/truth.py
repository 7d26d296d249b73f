"""What was true when, out of the writers' logs and the database's journal."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.consistency.checker.world import ALL, FIRST_STAMP, ITEMS, LABELS, shelf_of

LANDING = 1_000_000_000
"""A COMMIT whose writer was cut off has landed a second after the last that was heard of it, or never."""


@dataclass
class Write:
    """One transaction that is in the journal."""

    stamp: int
    begin: int
    shelves: dict[int, int]
    """The keys that it changed, each with the shelf on which the item then stood."""
    committed: int
    """Its COMMIT was carried out before this time."""
    acknowledged: int = 0
    """The writer had its answer at this time; nought if never."""
    outside: bool = False
    """Written by a client that is not Django."""


class Timeline:
    """The greatest stamp of one key that was known by any time."""

    def __init__(self, events: Iterable[tuple[int, int]]) -> None:
        self.times: list[int] = []
        self.stamps: list[int] = []
        top = 0
        for time, stamp in sorted(events):
            if stamp > top:
                top = stamp
                self.times.append(time)
                self.stamps.append(stamp)

    def at(self, time: int) -> int:
        """Return the greatest stamp known strictly before a time."""
        found = bisect_left(self.times, time)
        return self.stamps[found - 1] if found else 0

    def first_after(self, stamp: int) -> tuple[int, int]:
        """Return when and which stamp first was newer than this one."""
        found = bisect_right(self.stamps, stamp)
        return self.times[found], self.stamps[found]


@dataclass
class Truth:
    """Everything that was written."""

    writes: dict[int, Write]
    acknowledged: dict[int, Timeline] = field(default_factory=dict)
    committed: dict[int, Timeline] = field(default_factory=dict)
    outside: dict[int, Timeline] = field(default_factory=dict)
    members: dict[int, tuple[list[int], list[frozenset[int]]]] = field(default_factory=dict)
    by_row: dict[int, list[Write]] = field(default_factory=dict)

    def expected(self, shelf: int, time: int) -> frozenset[int]:
        """Return which items stood on a shelf by the last acknowledged write of each."""
        times, sets = self.members[shelf]
        return sets[bisect_left(times, time) - 1]

    def may_have_left(self, item: int, shelf: int, start: int, end: int) -> bool:
        """Tell whether a write not acknowledged at the start may have taken an item off a shelf before the end."""
        known = self.acknowledged[item].at(start)
        return any(
            one.stamp > known and one.begin < end and one.shelves[item] != shelf for one in self.by_row.get(item, ())
        )


def written(lines: Iterable[tuple[str, list[Any]]], journal: Collection[int], deaths: dict[str, int]) -> Truth:
    """Put together what the writers logged; `deaths` says when a killed process was found dead."""
    writes: dict[int, Write] = {}
    landed = set(journal)
    for process, line in lines:
        match line:
            case ["try", begin, stamp, touched] if stamp in landed:
                shelves = {int(key): shelf for key, shelf in touched.items()}
                late = deaths.get(process, begin) + LANDING
                writes[stamp] = Write(stamp, begin, shelves, late, outside=process.startswith("outsider"))
            case ["ack", time, stamp, _, returned] if stamp in writes:
                writes[stamp].committed, writes[stamp].acknowledged = returned or time, time
            case ["lost", time, stamp, _, returned] if stamp in writes:
                writes[stamp].committed = returned or time + LANDING
    return _indexed(Truth(writes))


def _indexed(truth: Truth) -> Truth:
    events: dict[str, dict[int, list[tuple[int, int]]]] = {
        name: defaultdict(list) for name in ("acknowledged", "committed", "outside")
    }
    for key in (*range(1, ITEMS + 1), *range(LABELS + 1, LABELS + ITEMS + 1), ALL):
        for name in events:
            events[name][key].append((0, FIRST_STAMP))
    for write in truth.writes.values():
        rows = [key for key in write.shelves if key < LABELS]
        for key in (*write.shelves, *([ALL] if rows else ())):
            events["committed"][key].append((write.committed, write.stamp))
            if write.acknowledged:
                name = "outside" if write.outside else "acknowledged"
                events[name][key].append((write.acknowledged, write.stamp))
        for key in rows:
            truth.by_row.setdefault(key, []).append(write)
    truth.acknowledged = {key: Timeline(found) for key, found in events["acknowledged"].items()}
    truth.committed = {key: Timeline(found) for key, found in events["committed"].items()}
    truth.outside = {key: Timeline(found) for key, found in events["outside"].items()}
    truth.members = _members(truth)
    return truth


def _members(truth: Truth) -> dict[int, tuple[list[int], list[frozenset[int]]]]:
    """Return for each shelf when what stood on it changed, by acknowledged writes."""
    stands = {item: (FIRST_STAMP, shelf_of(item)) for item in range(1, ITEMS + 1)}
    now: dict[int, set[int]] = defaultdict(set)
    for item, (_, shelf) in stands.items():
        now[shelf].add(item)
    found = {shelf: ([-1], [frozenset(items)]) for shelf, items in now.items()}
    known = [one for one in truth.writes.values() if one.acknowledged and not one.outside]
    for write in sorted(known, key=lambda one: one.acknowledged):
        for item, shelf in write.shelves.items():
            if item >= LABELS or stands[item][0] > write.stamp:
                continue
            before = stands[item][1]
            stands[item] = write.stamp, shelf
            for changed in {before, shelf} if before != shelf else ():
                now[changed] ^= {item}
                found[changed][0].append(write.acknowledged)
                found[changed][1].append(frozenset(now[changed]))
    return found
