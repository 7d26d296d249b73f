"""Count lookups in process, send the sums to the stores now and then, and read what all processes sent.

The hit path pays one step of a counter. A daemon thread sends the differences every `STATS_INTERVAL` seconds: minutes,
quarters and hours by door, hours by name. What cannot be sent waits in process, under the minute it was counted in.
Sums whose answer got lost on its way back from the server are sent again: they may count twice, never not at all.
"""

from __future__ import annotations

import atexit
import dataclasses
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeAlias

from cachekit import hooks
from cachekit.conf import conf
from cachekit.core.tally import HOUR, MINUTE, QUARTER, WINDOWS, Asked, Counts, Tally, Window, total
from cachekit.exceptions import ImproperStore, StoreUnavailable
from cachekit.hooks import Lookup, subscribe
from cachekit.stores.shelf import Bucket, Event, shelf_for

logger = logging.getLogger("cachekit.stats")

Sums: TypeAlias = Counter[Asked]
Observer: TypeAlias = Callable[[Mapping[Asked, int]], None]

KINDS = {MINUTE: "m", QUARTER: "q", HOUR: "h"}

KEPT_MINUTES = 60
"""So many minutes wait for a store that is away; after that, older counts join the oldest of them."""

_observers: tuple[Observer, ...] = ()


class Process:
    """What this process counted and has not sent yet; a fork starts with a new one."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._collected: dict[Asked, int] = {}
        self._waiting: dict[str, dict[int, Sums]] = {}
        self._one_at_a_time = threading.Lock()
        self._begun = False

    def begin(self) -> None:
        """Start the sending thread, if it is wanted and does not run yet."""
        if self._begun or not (conf().STATS_INTERVAL or _observers):
            return
        self._begun = True
        _flush_when_celery_ends()
        try:
            threading.Thread(target=self._send_forever, name="cachekit-stats", daemon=True).start()
        except RuntimeError:  # the interpreter is shutting down: `atexit` sends the rest
            self._begun = False

    def _send_forever(self) -> None:
        while True:
            time.sleep(conf().STATS_INTERVAL or 10)
            if self is not _process:  # its counts were forgotten
                return
            self.flush()

    def flush(self) -> None:
        """Send what waits; what a store does not take waits on. Never raises."""
        with self._one_at_a_time:
            try:
                self._collect(int(time.time()) // MINUTE * MINUTE)
                if conf().STATS_INTERVAL:
                    for alias in list(self._waiting):
                        self._send(alias)
            except Exception:  # statistics never fail a page, nor end their thread
                logger.exception("Sending statistics failed; they are kept for the next try.")

    def totals(self) -> dict[Asked, int]:
        """Return what was counted, look-up by look-up and by meters."""
        found = self.tally.totals()
        for one in hooks.meters:
            if one.times:
                found[one.asked] = found.get(one.asked, 0) + one.times
        return found

    def _collect(self, minute: int) -> None:
        """Move what was counted since last time under this minute, and tell the observers."""
        new = Sums()
        for asked, times in self.totals().items():
            if fresh := times - self._collected.get(asked, 0):
                self._collected[asked] = times
                new[asked] = fresh
                minutes = self._waiting.setdefault(asked[0], {})
                if minute not in minutes and len(minutes) >= KEPT_MINUTES:
                    minutes[min(minutes)] += minutes.pop(sorted(minutes)[1])
                minutes.setdefault(minute, Sums())[asked] += fresh
        for observer in _observers if new else ():
            observer(new)

    def _send(self, alias: str) -> None:
        try:
            shelf_for(alias).add(_by_bucket(self._waiting[alias]))
        except StoreUnavailable:
            return
        except ImproperStore:  # the alias has left CACHES: nobody will ask
            pass
        del self._waiting[alias]


def _by_bucket(minutes: Mapping[int, Sums]) -> dict[Bucket, Counter[str]]:
    """Sum up for the minute, the quarter and the hour by door, and for the hour by name."""
    buckets: dict[Bucket, Counter[str]] = {}
    for minute, sums in minutes.items():
        for (_, door, name, result), times in sums.items():
            for unit, kind in KINDS.items():
                own = buckets.setdefault(Bucket(kind, minute // unit * unit), Counter())
                own[f"{door}\n{result}"] += times
            own = buckets.setdefault(Bucket("n", minute // HOUR * HOUR), Counter())
            own[f"{door}\n{result}\n{name}"] += times
    return buckets


_process = Process()


def _begin_again() -> None:
    global _process  # noqa: PLW0603 - a fork's counts are its own; what was waiting is the parent's to send
    _process = Process()
    hooks.lengthen()
    for one in hooks.meters:
        one.times = 0


os.register_at_fork(after_in_child=_begin_again)


def count(event: Lookup) -> None:
    """Count a lookup."""
    tally = _process.tally
    if tally.add(event):
        _process.begin()
    elif (step := tally.step(event)) is not None:
        hooks.shorten(count, event, step)
        if _process.tally is not tally:  # counting began again meanwhile
            hooks.lengthen()


def count_many(event: Lookup, times: int) -> None:
    """Count a lookup that ended the same way so many times."""
    if _process.tally.add(event, times):
        _process.begin()


def install() -> None:
    """Have every lookup counted."""
    subscribe(Lookup, count, many=count_many)


def counted() -> dict[Asked, int]:
    """Return what this process has counted since it started, sent or not."""
    return _process.totals()


def flush() -> None:
    """Send what this process counted, now. Never raises."""
    _process.flush()


def forget() -> None:
    """Drop what was counted and not sent: for tests."""
    _begin_again()


def observe(observer: Observer) -> None:
    """Have `observer` called with the new counts, from the sending thread."""
    global _observers  # noqa: PLW0603 - as in hooks
    if observer not in _observers:
        _observers = (*_observers, observer)


atexit.register(flush)


def _flush_when_celery_ends() -> None:
    """Send once more when a Celery worker's child ends: it leaves by `os._exit`, which skips `atexit`."""
    if sys.modules.get("celery"):
        from celery.signals import worker_process_shutdown  # noqa: PLC0415 - only where Celery runs already

        worker_process_shutdown.connect(_flush_on_signal, weak=False, dispatch_uid="cachekit.stats")


def _flush_on_signal(**_: object) -> None:
    flush()


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    """What was counted over a window, by point in time and by door."""

    window: Window
    points: tuple[tuple[int, Mapping[str, Counts]], ...]

    def series(self, door: str | None = None) -> list[tuple[int, Counts]]:
        """Return the counts of each point, of one door or of all."""
        return [
            (start, total(doors.values()) if door is None else doors.get(door, Counts()))
            for start, doors in self.points
        ]

    @property
    def total(self) -> Counts:
        """The sum over all doors."""
        return total(counts for _, counts in self.series())

    @property
    def doors(self) -> dict[str, Counts]:
        """The sum of each door that was used, in the order of the alphabet."""
        names = sorted({door for _, doors in self.points for door in doors})
        return {door: total(counts for _, counts in self.series(door)) for door in names}


def history(alias: str, window: str = "24h", now: float | None = None) -> History:
    """Return what all processes sent about an alias. Raises StoreUnavailable."""
    chosen, now = WINDOWS[window], time.time() if now is None else now
    kind = KINDS[chosen.unit]
    starts = list(chosen.buckets(now))
    points: dict[int, dict[str, Counts]] = {start: {} for start in chosen.starts(now)}
    for start, fields in zip(starts, shelf_for(alias).read([Bucket(kind, start) for start in starts]), strict=True):
        doors = points[start // chosen.step * chosen.step]
        for field, times in fields.items():
            door, _, result = field.partition("\n")
            doors.setdefault(door, Counts()).add(result, times)
    return History(chosen, tuple(points.items()))


def series(
    alias: str, window: str = "24h", door: str | None = None, now: float | None = None
) -> list[tuple[int, Counts]]:
    """Return the counts of each point of a window, oldest first. Raises StoreUnavailable."""
    return history(alias, window, now).series(door)


def totals(alias: str, window: str = "24h", now: float | None = None) -> Counts:
    """Return the counts of a whole window. Raises StoreUnavailable."""
    return history(alias, window, now).total


def latest(alias: str, minutes: int = 5, now: float | None = None) -> Counts:
    """Return the counts of the last minutes, the running one included. Raises StoreUnavailable."""
    last = int(time.time() if now is None else now) // MINUTE * MINUTE
    found = Counts()
    for fields in shelf_for(alias).read([Bucket("m", last - MINUTE * index) for index in range(minutes)]):
        for field, times in fields.items():
            found.add(field.partition("\n")[2], times)
    return found


def names(alias: str, window: str = "24h", now: float | None = None) -> dict[tuple[str, str], Counts]:
    """Return the counts by door and name, in whole hours and for a week at most. Raises StoreUnavailable."""
    now = time.time() if now is None else now
    first = max(now - WINDOWS[window].span, now - WINDOWS["7d"].span)
    starts = range(int(first) // HOUR * HOUR, int(now) + 1, HOUR)
    found: dict[tuple[str, str], Counts] = {}
    for fields in shelf_for(alias).read([Bucket("n", start) for start in starts]):
        for field, times in fields.items():
            door, result, name = field.split("\n", 2)
            found.setdefault((door, name), Counts()).add(result, times)
    return found


def invalidations(alias: str, limit: int = 20) -> list[Event]:
    """Return the latest invalidations of an alias, newest first. Raises StoreUnavailable."""
    return shelf_for(alias).events(limit)
