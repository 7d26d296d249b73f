"""How numbers read on the pages: in the reader's language, and never more certain than they are."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from django.utils import formats, timezone
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _, ngettext, pgettext

from cachekit.core.tally import DAY, Counts, Window

FEW = 100
"""A percentage of fewer requests than this would only look precise."""
GOOD, FAIR = 0.9, 0.7


def number(value: int) -> str:
    """Write a count with the separators of the reader's language."""
    return formats.number_format(value, use_l10n=True, force_grouping=True)


def percent(ratio: float) -> str:
    """Write a ratio; it reads 100 % only when nothing was missed."""
    shown = min(ratio * 100, 99.9) if ratio < 1 else 100.0
    return _("%(number)s %%") % {"number": formats.number_format(shown, decimal_pos=1)}


def ratio(counts: Counts) -> str:
    """Write the hit ratio, or why there is none to speak of."""
    if counts.ratio is None:
        return _("no requests")
    if counts.asked < FEW:
        return ngettext("too few requests (%(n)s)", "too few requests (%(n)s)", counts.asked) % {
            "n": number(counts.asked)
        }
    return percent(counts.ratio)


def level(counts: Counts) -> str:
    """Name the class that colours a ratio: good, fair, poor, or none where there is nothing to judge."""
    if counts.ratio is None or counts.asked < FEW:
        return "none"
    return "good" if counts.ratio >= GOOD else "fair" if counts.ratio >= FAIR else "poor"


def lifetime(seconds: float | None) -> str:
    """Write a time to live."""
    if seconds is None:
        return _("no expiry")
    if seconds < 60:
        return ngettext("%(n)d second", "%(n)d seconds", int(seconds)) % {"n": int(seconds)}
    return timeuntil(timezone.now() + timedelta(seconds=seconds + 1), depth=2)


def ago(when: datetime) -> str:
    """Write how long ago something was."""
    if time.time() - when.timestamp() < 60:
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(when, depth=1)}


def moment(seconds: float) -> datetime:
    """Return a moment in the reader's time zone."""
    found = datetime.fromtimestamp(seconds, UTC)
    return timezone.localtime(found) if timezone.is_aware(timezone.now()) else timezone.make_naive(found)


def clock(when: datetime, window: Window) -> str:
    """Label a moment on the axis of a window."""
    return formats.date_format(when, "TIME_FORMAT" if window.span <= DAY else "MONTH_DAY_FORMAT")


def span(window: Window) -> str:
    """Name a window in a sentence."""
    return {
        "1h": pgettext("window", "the last hour"),
        "6h": pgettext("window", "the last 6 hours"),
        "24h": pgettext("window", "the last 24 hours"),
        "7d": pgettext("window", "the last 7 days"),
        "30d": pgettext("window", "the last 30 days"),
    }[window.name]


def door(name: str) -> str:
    """Name a door for people."""
    return {
        "function": _("Functions"),
        "view": _("Views"),
        "fragment": _("Fragments"),
        "query": _("Queries"),
        "row": _("Rows"),
        "graphql": _("GraphQL fields"),
        "session": _("Sessions"),
        "backend": _("CACHES"),
    }.get(name, name)
