"""A process that reads: rows, slices, pages and the table, in transactions on snapshots too, and across a fork."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from django.db import Error, connection, transaction

from tests.consistency.checker.clock import clock
from tests.consistency.checker.doors import Doors
from tests.consistency.checker.logs import FINAL, HIT, Log
from tests.consistency.checker.world import COUNTS, KINDS, PAGE, ROW, SHELF, TOTAL, now

MIX = (ROW, SHELF, PAGE, TOTAL)
WEIGHTS = (64, 12, 16, 8)
SNAPSHOTS = 0.004
"""So many of the reads are one of two in a REPEATABLE READ transaction."""
BREATH = 50
"""So many reads are made without a pause."""
FORK_SECONDS = 1.5
"""So long the child of a fork goes on reading."""


class Reader:
    """Reads at random until told to end, then everything once more."""

    def __init__(self, doors: Doors, folder: Path, name: str, seed: int) -> None:
        self.doors = doors
        self.folder = folder
        self.name = name
        self.log = Log(folder, name)
        self.random = random.Random(seed)
        self.reads = 0
        self.forks = 0
        self.wanted_forks = 0

    def run(self, ended: Callable[[], bool]) -> None:
        """Read until it is over; then read every key, which nobody writes any more."""
        while not ended():
            self.read_some()
            self.rest()
            if self.wanted_forks > self.forks:
                self.fork()
        self.read_all()
        self.log.flush()

    def rest(self) -> None:
        """Leave a processor to writers now and then: near hits would take all there is."""
        self.reads += 1
        if self.reads % BREATH == 0:
            time.sleep(0.005)

    def read_some(self) -> None:
        """Read one value, or two in a transaction on a snapshot."""
        if self.random.random() > SNAPSHOTS:
            self.read(*self.choice(), now())
            return
        start = now()
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                self.read(*self.choice(), start)
                time.sleep(self.random.random() * 0.01)
                self.read(*self.choice(), start)
        except Exception as error:
            self.failed(error)

    def choice(self) -> tuple[int, int]:
        """Return a kind and a number, low numbers more often."""
        kind = self.random.choices(MIX, WEIGHTS)[0]
        return kind, int(self.random.random() ** 2 * COUNTS[kind])

    def read(self, kind: int, number: int, start: int, flags: int = 0) -> None:
        """Read one value and log what it showed."""
        before = clock.statements
        try:
            seen = self.doors.read(kind, number)
        except Exception as error:
            self.failed(error)
            if connection.in_atomic_block:
                raise
            return
        end = now()
        self.log.read(kind, flags | (HIT if clock.statements == before else 0), number, start, end, seen)

    def failed(self, error: Exception) -> None:
        """Log what a user would have seen, and begin the next request with a good connection."""
        self.log.line("error", now(), "read", type(error).__name__, str(error)[:200], isinstance(error, Error))
        if isinstance(error, Error) and not connection.in_atomic_block:
            connection.close()
            time.sleep(0.02)

    def read_all(self) -> None:
        """Read every key."""
        for kind in range(len(KINDS)):
            for number in range(COUNTS[kind]):
                self.read(kind, number, now(), FINAL)

    def fork(self) -> None:
        """Go on in two processes; the child makes a database connection of its own, as every forking server does."""
        self.forks += 1
        self.log.flush()
        if os.fork():
            return
        connection.connection = None  # the parent's: neither used nor closed here
        self.log = Log(self.folder, f"{self.name}-fork{self.forks}")
        end = time.monotonic() + FORK_SECONDS
        while time.monotonic() < end:
            self.read_some()
        self.log.flush()
        os._exit(0)
