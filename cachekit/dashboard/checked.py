"""The overview's panel on consistency, and the key page's on what invalidated an entry."""

from __future__ import annotations

import dataclasses
import math
import os
from datetime import datetime

from django.utils import formats
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from cachekit import consistency, tracing
from cachekit.conf import conf
from cachekit.consistency import Checked
from cachekit.core.entry import Verdict
from cachekit.dashboard import words
from cachekit.dashboard.panels import SHOWN_TAGS, named

AGAIN = (1, 5, 60)
"""Seconds after which a mismatch was looked at again."""


@dataclasses.dataclass(frozen=True)
class Row:
    """What was compared behind one kind of door, by an audit or in shadow mode."""

    rig: str
    kind: str
    checked: Checked

    @cached_property
    def how(self) -> str:
        """The rig in words."""
        return {"audit": _("audit"), "shadow": _("shadow mode")}[self.rig]

    @cached_property
    def door(self) -> str:
        """The door in words."""
        return words.door(self.kind)

    @cached_property
    def cells(self) -> list[str]:
        """Compared, differed, and what became of it, in the reader's notation; a dash where nobody looked again."""
        told = [self.checked.compared, self.checked.mismatches]
        again = [self.checked.times("mismatch", seconds) if self.rig == "audit" else None for seconds in AGAIN]
        rest = [self.checked.times("raced"), self.checked.times("unsteady")]
        return ["–" if times is None else words.number(times) for times in [*told, *again, *rest]]

    @cached_property
    def nines(self) -> str:
        """The nines of consistency in words."""
        if self.checked.nines is None:
            return _("nothing compared")
        if math.isinf(self.checked.nines):
            return _("at least %(n)s") % {"n": formats.number_format(self.checked.at_least, decimal_pos=1)}
        return formats.number_format(self.checked.nines, decimal_pos=1)

    @property
    def level(self) -> str:
        """The class that colours them."""
        return "none" if self.checked.nines is None else "poor" if self.checked.mismatches else "good"


@dataclasses.dataclass(frozen=True)
class Panel:
    """What was compared in one cache over a window."""

    rows: list[Row]
    shadow: bool
    """Whether the shadow mode is on."""

    @property
    def is_shown(self) -> bool:
        """Tell whether there is anything to show."""
        return bool(self.rows or self.shadow or conf().AUDIT)


@dataclasses.dataclass(frozen=True)
class Touch:
    """An invalidation that concerns an entry."""

    when: datetime
    tags: list[str]
    more: int
    number: int
    why: str
    by: str
    effect: str
    decisive: bool
    """Whether it made the entry stale."""


@dataclasses.dataclass(frozen=True)
class Trace:
    """What the ledger says of an entry, and why."""

    verdict: str
    level: str
    touches: list[Touch]


def panel(alias: str, window: str) -> Panel:
    """Return what was compared. Raises StoreUnavailable."""
    found = consistency.checked(alias, window)
    return Panel([Row(rig, door, one) for (rig, door), one in found.items()], bool(conf().SHADOW))


def trace(alias: str, raw: bytes, limit: int = 10) -> Trace | None:
    """Return what invalidated an entry; None where there is none. Raises StoreUnavailable."""
    found = tracing.of_key(alias, os.fsdecode(raw), limit)
    if found is None:
        return None
    said = {Verdict.FRESH: (_("fresh"), "good"), Verdict.STALE: (_("invalidated"), "poor")}
    verdict, level = said.get(found.verdict, (_("expired"), "fair"))
    return Trace(verdict, level, [_touch(one) for one in found.touches])


def _touch(one: tracing.Touch) -> Touch:
    event, tags = one.event, named([one.event])
    effect = _("before it was computed")
    if not one.touches:
        effect = _("same table, nothing it depends on")
    elif one.is_later:
        effect = _("made it stale")
    shown, more = tags[:SHOWN_TAGS], len(tags[SHOWN_TAGS:])
    decisive = one.touches and one.is_later
    return Touch(words.moment(event.point / 1e6), shown, more, event.seq, event.why, event.by, effect, decisive)
