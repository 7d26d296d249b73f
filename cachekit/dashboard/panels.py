"""What the overview says, gathered panel by panel: a store that is away takes its own panels with it and no other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.timesince import timesince
from django.utils.translation import gettext as _, gettext_lazy, ngettext

from cachekit import browser, invalidation, stats, warming, writebehind
from cachekit.core.tally import WINDOWS, Counts, Window
from cachekit.dashboard import words
from cachekit.dashboard.chart import Chart, Point, chart, sparkline
from cachekit.exceptions import CachekitError
from cachekit.stores.listing import listing_for
from cachekit.stores.shelf import Event

TOP = 10
SHOWN_TAGS = 4
MARKED = 500
"""So many invalidations are looked through for the marks of a chart."""

FACTS = {
    "valkey_version": gettext_lazy("Valkey"),
    "redis_version": gettext_lazy("Redis"),
    "uptime_in_seconds": gettext_lazy("Running for"),
    "used_memory_human": gettext_lazy("Memory used"),
    "maxmemory_human": gettext_lazy("Memory limit"),
    "maxmemory_policy": gettext_lazy("When full"),
    "evicted_keys": gettext_lazy("Keys evicted"),
    "expired_keys": gettext_lazy("Keys expired"),
    "connected_clients": gettext_lazy("Connections"),
}
"""What of INFO is shown: the rest is nobody's business here."""


@dataclasses.dataclass(frozen=True)
class Line:
    """The counts of something over a window, for a row of a table."""

    name: str
    counts: Counts
    points: Sequence[Point] = ()

    @cached_property
    def ratio(self) -> str:
        """The hit ratio in words."""
        return words.ratio(self.counts)

    @cached_property
    def level(self) -> str:
        """The class that colours it."""
        return words.level(self.counts)

    @cached_property
    def hits(self) -> str:
        """The hits in the reader's notation."""
        return words.number(self.counts.hit)

    @cached_property
    def misses(self) -> str:
        """All misses in the reader's notation."""
        return words.number(self.counts.misses)

    @cached_property
    def cells(self) -> list[str]:
        """Every count in the reader's notation, in the order of `Counts`."""
        return [words.number(times) for times in dataclasses.astuple(self.counts)]

    @cached_property
    def spark(self) -> tuple[str, ...]:
        """The lines of a small chart."""
        return sparkline(self.points)


@dataclasses.dataclass(frozen=True)
class Moment:
    """A point of the chart, for the table beside it."""

    when: datetime
    line: Line


@dataclasses.dataclass(frozen=True)
class Told:
    """A recent invalidation."""

    when: datetime
    tags: list[str]
    more: int
    why: str
    by: str

    @property
    def ago(self) -> str:
        """How long ago it was."""
        return words.ago(self.when)


@dataclasses.dataclass(frozen=True)
class Cache:
    """One alias over a window: what was counted, what its server says, or why it cannot be asked."""

    alias: str
    window: Window
    history: stats.History | None
    latest: Counts = dataclasses.field(default_factory=Counts)
    keys: int = 0
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    problem: str = ""

    @cached_property
    def line(self) -> Line:
        """All doors together."""
        if self.history is None:
            return Line(self.alias, Counts())
        return Line(self.alias, self.history.total, self.history.series())

    @cached_property
    def now(self) -> Line:
        """The last minutes, whatever the window."""
        return Line(self.alias, self.latest)

    @cached_property
    def doors(self) -> list[Line]:
        """One line for each door that was used."""
        history = self.history
        if history is None:
            return []
        return [Line(words.door(door), counts, history.series(door)) for door, counts in history.doors.items()]

    @cached_property
    def names(self) -> list[tuple[str, Line]]:
        """The names with the most misses, each with its door."""
        found = stats.names(self.alias, self.window.name)
        worst = sorted(found.items(), key=lambda item: (-item[1].misses, item[0]))[:TOP]
        return [(words.door(door), Line(name, counts)) for (door, name), counts in worst if counts.misses]

    @cached_property
    def events(self) -> list[Event]:
        """The invalidations that the marks of the chart stand for, newest first; a login is none of them."""
        told = (event for event in stats.invalidations(self.alias, MARKED) if not event.is_intent)
        return [event for event in told if not all(map(browser.secret, event.tags))]

    @cached_property
    def invalidations(self) -> list[Told]:
        """The latest of them."""
        return [_told(event) for event in self.events[:TOP]]

    @cached_property
    def chart(self) -> Chart:
        """The ratio over time."""
        marks = _marks(self.events, self.window)
        return chart(self.line.points, words.moment, lambda when: words.clock(when, self.window), marks)

    @cached_property
    def moments(self) -> list[Moment]:
        """The points of the chart in which something was asked, newest first."""
        return [
            Moment(words.moment(start), Line("", counts))
            for start, counts in reversed(self.line.points)
            if counts.total
        ]

    @cached_property
    def sentence(self) -> str:
        """What the chart shows, in words."""
        said = _("Hit ratio of “%(alias)s” over %(span)s: %(ratio)s.") % {
            "alias": self.alias,
            "span": words.span(self.window),
            "ratio": self.line.ratio,
        }
        judged = [moment for moment in self.moments if moment.line.counts.asked >= words.FEW]
        if len(judged) > 1:
            lowest = min(judged, key=lambda moment: moment.line.counts.ratio or 0)
            said += " " + _("Lowest: %(ratio)s (%(when)s).") % {
                "ratio": lowest.line.ratio,
                "when": words.clock(lowest.when, self.window),
            }
        return said

    @cached_property
    def size(self) -> str:
        """The keys of the database in the reader's notation."""
        return words.number(self.keys)

    @cached_property
    def undelivered(self) -> int:
        """How many invalidations wait in this process for the store to come back."""
        return len(invalidation.pending(self.alias))


def cache(alias: str, window: str) -> Cache:
    """Ask a store for everything the overview shows of it; where it is away, say why."""
    chosen = WINDOWS[window]
    try:
        listing = listing_for(alias)
        history = stats.history(alias, window)
        found = Cache(alias, chosen, history, stats.latest(alias), listing.total(), _facts(listing.info()))
        _ = found.names, found.events  # asked for now, while the store is known to answer
    except CachekitError as error:
        return Cache(alias, chosen, None, problem=str(error))
    return found


def warmers() -> tuple[list[tuple[warming.WarmerRun, str]], list[tuple[str, str]]]:
    """Return the last runs with their age, and the warmers that never ran with when they are due.

    Raises StoreUnavailable.
    """
    runs = warming.runs()
    ran = {run.name for run in runs}
    return [(run, words.ago(run.started)) for run in runs], sorted(
        (one.name, one.due) for one in warming.registered() if one.name not in ran
    )


def queues() -> list[tuple[str, str | None]]:
    """Return how many rows wait in each write-behind counter; None where its store is away."""
    found: list[tuple[str, str | None]] = []
    for counter in writebehind.registered():
        try:
            found.append((counter.name, words.number(counter.waiting())))
        except CachekitError:
            found.append((counter.name, None))
    return found


def here() -> list[Line]:
    """Return what this process counted since it started: all there is to say while a store is away."""
    sums: dict[str, Counts] = {}
    for (alias, _door, _name, result), times in stats.counted().items():
        sums.setdefault(alias, Counts()).add(result, times)
    return [Line(alias, counts) for alias, counts in sorted(sums.items())]


def _facts(info: bytes) -> dict[str, str]:
    told = dict(line.split(":", 1) for line in info.decode("utf-8", "replace").splitlines() if ":" in line)
    if "valkey_version" in told:  # Valkey also names the version of Redis that it stands in for
        del told["redis_version"]
    if seconds := told.get("uptime_in_seconds"):
        told["uptime_in_seconds"] = timesince(timezone.now() - timedelta(seconds=int(seconds)))
    if told.get("maxmemory_human") == "0B":
        told["maxmemory_human"] = _("none")
    for name in ("evicted_keys", "expired_keys", "connected_clients"):
        if told.get(name, "").isdigit():
            told[name] = words.number(int(told[name]))
    return {str(label): told[name] for name, label in FACTS.items() if name in told}


def _marks(events: Sequence[Event], window: Window) -> list[tuple[int, str]]:
    """Gather invalidations by point of the chart, so that a busy one has a single mark."""
    first = window.starts(time.time())[0]
    by_point: dict[int, list[Event]] = {}
    for event in events:
        at = event.point // 1_000_000 // window.step * window.step
        if at >= first:
            by_point.setdefault(at, []).append(event)
    return [(at, _mark(found)) for at, found in sorted(by_point.items())]


def _told(event: Event) -> Told:
    tags = named([event])
    return Told(words.moment(event.point / 1e6), tags[:SHOWN_TAGS], len(tags[SHOWN_TAGS:]), event.why, event.by)


def named(events: Sequence[Event]) -> list[str]:
    """Return the tags of events, for people: each once, without the ends that tell a session, without `#*` and `?*`."""
    tags = dict.fromkeys(browser.discreet(tag.encode()) for event in events for tag in event.tags)
    return [tag for tag in tags if not (tag.endswith(("#*", "?*")) and tag[:-2] in tags)]


def _mark(events: Sequence[Event]) -> str:
    tags = named(events)
    said = ngettext("%(n)d invalidation", "%(n)d invalidations", len(events)) % {"n": len(events)}
    return f"{said}: {', '.join(tags[:3])}{' …' if len(tags) > 3 else ''}"
