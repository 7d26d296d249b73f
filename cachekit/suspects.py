"""Look at mismatches again after 1, 5 and 60 seconds, and write them down with what was invalidated lately."""

from __future__ import annotations

import atexit
import heapq
import logging
import os
import threading
import time
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import connections

from cachekit import hooks, tracing
from cachekit.auditing import Suspect
from cachekit.core.dependencies import readable
from cachekit.exceptions import CachekitError
from cachekit.stores import store_for
from cachekit.trials import is_standing

logger = logging.getLogger("cachekit.audit")

DELAYS = (1, 5, 60)
"""Seconds after which a mismatch is looked at again; until the last one the same entry is not written down twice."""
MOST = 100
"""So many are looked at; of more than that something else is the matter, and they are counted all the same."""
TRACED = 10


class Look(NamedTuple):
    """When (monotonic) to look at which suspect, after how many seconds."""

    due: float
    number: int
    seconds: int
    suspect: Suspect


class Bench:
    """The suspects of this process, and the thread that looks at them while there are any."""

    def __init__(self) -> None:
        self._woken = threading.Condition()
        self._looks: list[Look] = []
        self._known: set[tuple[str, str, int]] = set()
        self._number = 0
        self._thread: threading.Thread | None = None
        self._ended = False

    def seat(self, suspect: Suspect) -> None:
        """Have a suspect looked at, unless it sits here already."""
        with self._woken:
            if self._ended or _name(suspect) in self._known or len(self._known) >= MOST:
                return
            self._known.add(_name(suspect))
            now = time.monotonic()
            for seconds in (0, *DELAYS):
                self._number += 1
                heapq.heappush(self._looks, Look(now + seconds, self._number, seconds, suspect))
            self._woken.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cachekit-audit", daemon=True)
                self._thread.start()

    def end(self, wait: float = 0) -> None:
        """Look at nobody any more, and wait so many seconds for a look that is under way."""
        with self._woken:
            self._ended = True
            self._looks.clear()
            self._known.clear()
            self._woken.notify()
            thread = self._thread
        if thread is not None and wait:
            thread.join(wait)

    def _run(self) -> None:
        while (look := self._next()) is not None:
            try:
                is_over = self._carry_out(look)
            except Exception:  # looking must not end the thread: others wait
                logger.exception("A mismatch could not be looked at again")
                is_over = False
            if is_over or look.seconds == DELAYS[-1]:
                self._dismiss(look.suspect)
            connections.close_all()  # this thread's own

    def _next(self) -> Look | None:
        """Wait for what is due; None, and the thread's end, when there is nothing to wait for."""
        with self._woken:
            while self._looks:
                left = self._looks[0].due - time.monotonic()
                if left <= 0:
                    return heapq.heappop(self._looks)
                self._woken.wait(left)
            self._thread = None
            return None

    def _dismiss(self, suspect: Suspect) -> None:
        with self._woken:
            self._known.discard(_name(suspect))
            self._looks = [look for look in self._looks if look.suspect is not suspect]
            heapq.heapify(self._looks)

    @staticmethod
    def _carry_out(look: Look) -> bool:
        """Write down, or look again; tell whether the matter is over."""
        if look.seconds == 0:
            write_down(look.suspect)
            return False
        if look.suspect.rig != "audit":
            return False
        result, told = looked_at(look.suspect), look.suspect
        hooks.tell(hooks.Audited(told.alias, told.door, told.name, result, look.seconds))
        return result == "mended"


_bench = Bench()


def _begin_again() -> None:
    global _bench  # noqa: PLW0603 - a fork has no thread that would look at its parent's suspects
    _bench = Bench()


os.register_at_fork(after_in_child=_begin_again)


@atexit.register
def _end() -> None:
    _bench.end()


def watch(suspect: Suspect) -> None:
    """Write a mismatch down, and look at it again."""
    _bench.seat(suspect)


def forget() -> None:
    """Look at nobody any more: for tests."""
    _bench.end(wait=5)
    _begin_again()


def looked_at(suspect: Suspect) -> str:
    """Return `mismatch` where the same entry would still be served and still differs, else `mended`."""
    store = store_for(suspect.alias)
    try:
        found = store.load(suspect.key)
    except CachekitError:
        return "skipped"
    here = found.header
    if here is None or here.expiry <= store.now() or not is_standing(suspect.alias, found, suspect.header):
        return "mended"
    result = suspect.again() if suspect.again else "skipped"
    return {"match": "mended", "raced": "mended"}.get(result, "mismatch")


def write_down(suspect: Suspect) -> None:
    """Log a mismatch: what it depends on, when it was computed, and what was invalidated lately; never values."""
    header = suspect.header
    computed = datetime.fromtimestamp(header.read_point / 1e6, UTC).isoformat()
    logger.warning(
        "%s '%s' differs from the database (%s), though nothing it depends on was invalidated since %s. "
        "Key %s; depends on %s; %s",
        suspect.door,
        suspect.name,
        suspect.rig,
        computed,
        suspect.key,
        ", ".join(readable(header.tags)) or "nothing",
        _trace(suspect),
    )


def _trace(suspect: Suspect) -> str:
    try:
        found = tracing.of_header(suspect.alias, suspect.header, TRACED)
    except CachekitError:
        return "its recent invalidations cannot be read."
    if not found:
        return "none of the invalidations that are still known touched its tables."
    return "invalidated lately: " + "; ".join(map(tracing.told, found)) + "."


def _name(suspect: Suspect) -> tuple[str, str, int]:
    return suspect.alias, suspect.key, suspect.header.read_point
