"""One computation per key at a time in this process: whoever comes later waits for the first, called or awaited."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import NamedTuple

from cachekit.core.entry import Header

SHUN_SECONDS = 10.0
LATELY_SECONDS = 1.0
MAX_MOMENTS = 10_000


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

    def is_news(self, arrived: float) -> bool:
        """Tell whether it began after somebody arrived (monotonic): then anything that can be shared will do."""
        return self.started >= arrived and (self.header is not None or self.error is not None)

    def serves(self, epoch: bytes, arrival: int, arrived: float) -> bool:
        """Tell whether one who arrived when `arrival` was the ledger's last time (monotonic: `arrived`) may take it.

        Equal to it is not enough: a ledger that nobody asks stands still, and what began before has the same time.
        """
        if self.is_news(arrived):
            return True
        if self.header is None:  # an error of before may be over by now
            return False
        return self.proven or (bool(epoch) and self.header.epoch == epoch and self.header.read_point > arrival)


class Job:
    """An outermost computation with all that it calls: what may not wait for itself."""

    __slots__ = ("over", "waits")

    def __init__(self) -> None:
        self.waits: list[Flight] = []
        self.over = False
        """Whether it has ended: what a task that outlives it computes is a job of its own."""


class Flight:
    """A computation under way."""

    __slots__ = ("future", "job", "loop")

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop | None) -> None:
        self.future: Future[Outcome] = Future()
        self.job = job
        self.loop = loop


class Moments:
    """Keys of which something was noted a moment ago; bounded."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[tuple[str, str], float] = {}

    def note(self, key: tuple[str, str]) -> None:
        """Note a key now."""
        if len(self._until) >= MAX_MOMENTS:
            self._until.clear()
        self._until[key] = time.monotonic() + self._seconds

    def holds(self, key: tuple[str, str]) -> bool:
        """Tell whether the key was noted a moment ago."""
        return bool(self._until) and self._until.get(key, 0.0) > time.monotonic()


class Flights:
    """The computations under way in this process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: what a fork copied has no thread that could land it."""
        self._lock = threading.Lock()
        self._flights: dict[tuple[str, str], Flight] = {}
        self._shunned = Moments(SHUN_SECONDS)
        self._landed = Moments(LATELY_SECONDS)

    def shun(self, key: tuple[str, str]) -> None:
        """Note that a value cannot be shared: waiting for it would only put its readers in a row."""
        self._shunned.note(key)

    def is_shunned(self, key: tuple[str, str]) -> bool:
        """Tell whether the last value of this key could not be shared, a moment ago."""
        return self._shunned.holds(key)

    def landed_lately(self, key: tuple[str, str]) -> bool:
        """Tell whether a value of this key was computed a moment ago, perhaps while its next reader was looking."""
        return self._landed.holds(key)

    def enter(self, key: tuple[str, str], job: Job) -> tuple[Flight, bool]:
        """Return the flight for a key, and whether the caller leads it."""
        loop = running_loop()
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight(job, loop)
            return flight, True

    def may_wait(self, flight: Flight, job: Job) -> bool:
        """Note that `job` waits for a flight and return True; False if the chain of waits leads back to `job`."""
        with self._lock:
            if any(one.job is job for one in chain(flight)):
                return False
            job.waits.append(flight)
            return True

    def waited(self, flight: Flight, job: Job) -> None:
        """Note that `job` waits no more."""
        with self._lock:
            job.waits.remove(flight)

    def close(self, key: tuple[str, str], flight: Flight) -> None:
        """Let nobody join any more; those who wait go on waiting for `land`."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def land(self, key: tuple[str, str], flight: Flight, outcome: Outcome) -> None:
        """Wake those who wait."""
        if outcome.header is not None:
            self._landed.note(key)
        self.close(key, flight)
        if not flight.future.done():
            flight.future.set_result(outcome)


def chain(flight: Flight) -> Iterator[Flight]:
    """Yield a flight, those that its job waits for, and so on."""
    seen: set[int] = set()
    front = [flight]
    while front:
        one = front.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            front += list(one.job.waits)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of this thread, if one runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
