"""Look into the outbox of every database, again and again."""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable

from django.db import Error as DatabaseTrouble, connections

from cachekit import hooks
from cachekit.conf import conf
from cachekit.databases import written_to
from cachekit.exceptions import StoreUnavailable
from cachekit.outbox import standing
from cachekit.outbox.delivering import Delivery, deliver, tick
from cachekit.outbox.repairing import repaired
from cachekit.outbox.standing import Standing
from cachekit.outbox.waiting import Waiting, waiting
from cachekit.stores import aliases as known_aliases, store_for
from cachekit.stores.beats import Beat, beat, stop_beating
from cachekit.stores.marks import attest
from cachekit.stores.turns import server_of

PAUSE = 0.03
"""Seconds between two looks into empty outboxes."""
LONGEST_PAUSE = 1.0
"""Seconds between two tries of a database that is away."""
LONGEST_WAIT = 0.25
"""Seconds between two looks where a cache is away: when it is back its readers wait for what it has missed."""
BEAT_EVERY = 1.0
"""Seconds between heartbeats; as often a relay looks whether databases and caches are still what they were."""
ATTESTATIONS = 4
"""So many times a relay attests while one attestation lives."""

COMMAND = "command"
TASK = "task"
TICK_EVERY = 10.0
"""Seconds between rounds that are counted though there was nothing to tell."""

logger = logging.getLogger("cachekit.relay")


class Trouble:
    """The databases that are away: said once when they go and once when they come, and tried less and less often."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self._retry: dict[str, tuple[float, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._since)

    def is_due(self, using: str) -> bool:
        """Tell whether a database is to be tried."""
        return self._clock() >= self._retry.get(using, (0.0, 0.0))[0]

    def failed(self, using: str, error: Exception) -> None:
        """Note that a database did not answer."""
        if using not in self._since:
            logger.warning("The outbox of database '%s' cannot be relayed: %s", using, str(error).strip())
            self._since[using] = self._clock()
        pause = min(LONGEST_PAUSE, 2 * self._retry.get(using, (0.0, PAUSE))[1])
        self._retry[using] = self._clock() + pause, pause

    def is_over(self, using: str) -> None:
        """Note that a database answers."""
        self._retry.pop(using, None)
        if using in self._since:
            logger.warning(
                "The outbox of database '%s' is relayed again, after %.1f s",
                using,
                self._clock() - self._since.pop(using),
            )


class Relay:
    """A relay, and what it need not ask at every look."""

    def __init__(self, kind: str = COMMAND, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.delivered = 0
        self._kind = kind
        self._clock = clock
        self._name = f"{socket.gethostname()}:{os.getpid()}" if kind == COMMAND else kind
        self._standings: dict[str, Standing | None] = {}
        self._missed: frozenset[str] = frozenset()
        self._beaten = self._looked = self._ticked = -math.inf
        self._trouble = Trouble(clock)
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Look until told to stop, which it does between two pages."""
        pause, self._stop = PAUSE, stop
        while not stop.is_set():
            done = self.look()
            pause = PAUSE if done or not self._missed else min(LONGEST_WAIT, 2 * pause)
            if not done:
                stop.wait(pause)
        self._everywhere(lambda alias: stop_beating(store_for(alias), self._name))

    def look(self) -> int:
        """Deliver what stands in the outbox of every database that answers; return how many rows are done."""
        began = self._clock()
        thorough, ticking = self._is_thorough(began), began - self._ticked >= TICK_EVERY
        rows, missed = 0, frozenset[str]()
        for using in written_to():
            if not self._trouble.is_due(using):
                continue
            try:
                done = self._relay(using, thorough=thorough, ticking=ticking)
            except DatabaseTrouble as error:
                self._trouble.failed(using, error)
                self._standings.pop(using, None)
                connections[using].close()
            else:
                self._trouble.is_over(using)
                rows, missed = rows + done.rows, missed | done.missed
        self.delivered, self._missed = self.delivered + rows, missed
        if ticking:
            self._ticked = began
        if thorough and not self._trouble:
            self._attest(began, missed)
        if rows or began - self._beaten >= BEAT_EVERY:
            self._tell(rows)
            self._beaten = began
        return rows

    def _is_thorough(self, now: float) -> bool:
        """Tell whether to look whether databases and caches are still what they were, which attesting needs."""
        every = min(BEAT_EVERY, conf().MAX_STALENESS / ATTESTATIONS or BEAT_EVERY)
        if now - self._looked < every and not self._missed:
            return False
        self._looked = now
        return True

    def _attest(self, began: float, missed: frozenset[str]) -> None:
        """Let caches know that they have been told of all that was committed before this look began."""
        bound, known = conf().MAX_STALENESS, [found for found in self._standings.values() if found is not None]
        if not bound or not known:
            return
        for alias in known_aliases():
            store = store_for(alias)
            if alias in missed or server_of(store) is None:
                continue
            told = {found.using: found.caches[alias] for found in known if alias in found.caches}
            try:
                attest(store, told, bound - (self._clock() - began))
            except StoreUnavailable:
                continue

    def _relay(self, using: str, *, thorough: bool, ticking: bool) -> Delivery:
        away = frozenset[str]()
        if thorough or using not in self._standings:
            found = self._standings[using] = standing.of(using)
            away = repaired(found) if found else away
        found = self._standings[using]
        if found is None:
            return Delivery(0)
        done = deliver(found, self._stop.is_set)
        if ticking and not done.rows:
            tick(found)
        return done._replace(missed=done.missed | away)

    def _tell(self, rows: int) -> None:
        """Let the metrics, and whoever asks a cache how its relays do, know."""
        boxes = self._waiting()
        told = hooks.Relayed(rows, sum(box.rows for box in boxes), max((box.seconds for box in boxes), default=0.0))
        hooks.tell(told)
        mine = Beat(self._name, self._kind, 0.0, self.delivered, told.waiting, told.oldest)
        self._everywhere(lambda alias: beat(store_for(alias), mine))

    def _waiting(self) -> list[Waiting]:
        found = []
        for using, known in self._standings.items():
            if known is not None:
                try:
                    found.append(waiting(using))
                except DatabaseTrouble:
                    connections[using].close()
        return found

    def _everywhere(self, act: Callable[[str], None]) -> None:
        for alias in known_aliases():
            try:
                act(alias)
            except StoreUnavailable:
                continue


def relay_all() -> int:
    """Look once, as a relay that nobody runs as a command; return how many rows are done."""
    return Relay(TASK).look()
