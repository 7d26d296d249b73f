"""One computation per key at a time in this process: whoever comes later waits for the first, called or awaited."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import NamedTuple

from cachekit.core.entry import Header

SHUN_SECONDS = 10.0


class Outcome(NamedTuple):
    """What a leader leaves to those who waited."""

    started: float
    """When it began, by this process's monotonic clock."""
    header: Header | None = None
    """None: there is no value to share."""
    payload: bytes = b""
    proven: bool = False
    """Whether the store called it fresh, after every waiter had arrived."""
    error: Exception | None = None
    refused: bool = False
    """Whether the value is its reader's own, and so will the next be."""

    def serves(self, epoch: bytes, arrival: int, arrived: float) -> bool:
        """Tell whether one who arrived at ledger time `arrival` (monotonic: `arrived`) may take it."""
        if self.header is None:
            return False
        if self.proven or self.started >= arrived:
            return True
        return bool(epoch) and self.header.epoch == epoch and self.header.read_point >= arrival


class Job:
    """An outermost computation with all that it calls: what may not wait for itself."""

    __slots__ = ("waits",)

    def __init__(self) -> None:
        self.waits: set[Flight] = set()


class Flight:
    """A computation under way."""

    __slots__ = ("future", "job", "loop")

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop | None) -> None:
        self.future: Future[Outcome] = Future()
        self.job = job
        self.loop = loop

    @contextmanager
    def waited_for(self, job: Job) -> Iterator[None]:
        """Note that `job` waits for this flight."""
        job.waits.add(self)
        try:
            yield
        finally:
            job.waits.discard(self)


class Flights:
    """The computations under way in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[tuple[str, str], Flight] = {}
        self._shunned: dict[tuple[str, str], float] = {}

    def shun(self, key: tuple[str, str]) -> None:
        """Note that a value cannot be shared: waiting for it would only put its readers in a row."""
        if len(self._shunned) > 10_000:
            self._shunned.clear()
        self._shunned[key] = time.monotonic() + SHUN_SECONDS

    def is_shunned(self, key: tuple[str, str]) -> bool:
        """Tell whether the last value of this key could not be shared, a moment ago."""
        return bool(self._shunned) and self._shunned.get(key, 0.0) > time.monotonic()

    def enter(self, key: tuple[str, str], job: Job) -> tuple[Flight, bool]:
        """Return the flight for a key, and whether the caller leads it."""
        loop = running_loop()
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight(job, loop)
            return flight, True

    def close(self, key: tuple[str, str], flight: Flight) -> None:
        """Let nobody join any more; those who wait go on waiting for `land`."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def land(self, key: tuple[str, str], flight: Flight, outcome: Outcome) -> None:
        """Wake those who wait."""
        self.close(key, flight)
        if not flight.future.done():
            flight.future.set_result(outcome)


def may_wait(flight: Flight, job: Job) -> bool:
    """Tell whether waiting can end: not if the chain of waits leads back to `job`."""
    seen: set[int] = set()
    front = [flight]
    while front:
        one = front.pop()
        if one.job is job:
            return False
        if id(one) not in seen:
            seen.add(id(one))
            front += list(one.job.waits)
    return True


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of this thread, if one runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
