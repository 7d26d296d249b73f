"""What `manage.py cachekit status` tells of audits and the shadow mode, and what `trace` tells of invalidations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from cachekit import consistency, tracing
from cachekit.browser import discreet
from cachekit.core.entry import Verdict
from cachekit.exceptions import CachekitError
from cachekit.stores import aliases

WORST = 60
"""A mismatch that is still there after so many seconds is trouble."""


class CheckedStatus(NamedTuple):
    """What was compared in the last 24 hours behind one kind of door; `rig` is audit or shadow."""

    cache: str
    rig: str
    door: str
    compared: int
    mismatches: int
    after_60_s: int
    nines: float
    at_least: bool
    """Whether there was no mismatch, so that `nines` is only what so few comparisons can show."""


def checked() -> list[CheckedStatus]:
    """Return what was compared in each cache that answers."""
    return [one for alias in aliases() for one in _checked(alias)]


def _checked(alias: str) -> Iterator[CheckedStatus]:
    try:
        found = consistency.checked(alias)
    except CachekitError:
        return
    for (rig, door), one in found.items():
        clean = not one.mismatches
        nines = one.at_least if clean else one.nines or 0.0
        late = one.times("mismatch", WORST)
        yield CheckedStatus(alias, rig, door, one.compared, one.mismatches, late, round(nines, 2), clean)


def trouble(found: list[CheckedStatus]) -> list[str]:
    """Return what must not stay so."""
    return [
        f"cache '{one.cache}': {one.after_60_s} values of door {one.door} still differed from the database after "
        f"{WORST} s: see the log cachekit.audit"
        for one in found
        if one.after_60_s
    ]


def lines(found: list[CheckedStatus]) -> list[str]:
    """Write them for people."""
    told = ["Consistency in the last 24 hours" if found else "Nothing was audited"]
    for one in found:
        nines = f"{'at least ' if one.at_least else ''}{one.nines:.1f} nines"
        how = f"{one.rig} of door {one.door}"
        told.append(f"  {one.cache}: {how}, {one.compared} compared, {one.mismatches} differed, {nines}")
    return told


def traced(what: str, alias: str, limit: int) -> Iterator[str]:
    """Tell what invalidated a tag or an entry lately. Raises StoreUnavailable, InvalidTag."""
    found = tracing.of_key(alias, what, limit)
    if found is None:
        touches = tracing.of_tag(alias, what, limit)
        yield f"{discreet(what.encode())} in cache '{alias}'" + ("" if touches else ": not invalidated lately")
        yield from (f"  {tracing.line(one.event)}" for one in touches)
        return
    begun = datetime.fromtimestamp(found.header.read_point / 1e6, UTC).isoformat(timespec="milliseconds")
    verdict = "fresh" if found.verdict is Verdict.FRESH else found.verdict.value
    yield f"{discreet(what.encode())} in cache '{alias}': {verdict}, computed at {begun}"
    yield from (f"  {tracing.told(one)}" for one in found.touches)
