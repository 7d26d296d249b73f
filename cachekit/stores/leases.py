"""Keep the leases of long computations alive, from one thread per process that sleeps until one is due."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Keeper:
    """Call a renewal every third of its lease until it is taken back or fails."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: threads do not survive a fork, and a lock may have been held by one."""
        self._wake = threading.Condition()
        self._due: list[tuple[float, int]] = []
        self._jobs: dict[int, tuple[float, Callable[[], bool]]] = {}
        self._numbers = itertools.count()
        self._runs = False

    @contextmanager
    def keeping(self, lease: float, renew: Callable[[], bool]) -> Iterator[None]:
        """Have `renew` called while the block runs; a lease of 0 seconds needs none."""
        if not lease:
            yield
            return
        number = self._add(lease, renew)
        try:
            yield
        finally:
            self._jobs.pop(number, None)

    def _add(self, lease: float, renew: Callable[[], bool]) -> int:
        with self._wake:
            if not self._runs:
                self._runs = _started(self._run)
            number = next(self._numbers)
            self._jobs[number] = (lease, renew)
            heapq.heappush(self._due, (time.monotonic() + lease / 3, number))
            if self._due[0][1] == number:
                self._wake.notify()
            return number

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._due or self._due[0][0] > time.monotonic():
                    self._wake.wait(self._due[0][0] - time.monotonic() if self._due else None)
                _, number = heapq.heappop(self._due)
                job = self._jobs.get(number)
            if job is None:
                continue
            lease, renew = job
            try:
                held = renew()
            except Exception:  # noqa: BLE001 - a lease that cannot be renewed ends: no reason to stop the others
                held = False
            if held:
                with self._wake:
                    heapq.heappush(self._due, (time.monotonic() + lease / 3, number))


def _started(work: Callable[[], None]) -> bool:
    try:
        threading.Thread(target=work, name="cachekit-leases", daemon=True).start()
    except RuntimeError:  # the interpreter is shutting down, or has all the threads it can have
        return False
    return True
