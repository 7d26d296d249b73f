"""A circuit breaker: after some failures in a row nothing is tried for a while, then one call tries."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cachekit.exceptions import StoreUnavailable


class Breaker:
    """Closed until `failures` in a row; then open for `pause` seconds; then one call at a time may try.

    `changed` is told the error that opened the circuit, or None when it closed.
    """

    def __init__(
        self,
        changed: Callable[[str | None], None],
        *,
        failures: int = 3,
        pause: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changed = changed
        self._limit = failures
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self.failures = 0
        """In a row, up to now: only where there are any is there something to check, or to be told of success."""
        self._retry_at = 0.0
        self.error = ""

    @property
    def is_open(self) -> bool:
        """Tell whether calls are refused, but for the one that tries."""
        return self.failures >= self._limit

    def check(self) -> None:
        """Let the caller pass. Raises StoreUnavailable at once while the circuit is open."""
        if self.failures < self._limit:
            return
        with self._lock:
            now = self._clock()
            if now < self._retry_at:
                raise StoreUnavailable(
                    f"The cache server is away ({self.error}); next try in {self._retry_at - now:.1f} s"
                )
            self._retry_at = now + self._pause

    def succeeded(self) -> None:
        """Note that the server answered."""
        if not self.failures:
            return
        with self._lock:
            was_open, self.failures = self.is_open, 0
        if was_open:
            self._changed(None)

    def failed(self, error: Exception) -> None:
        """Note that the server did not answer, or refused to write."""
        with self._lock:
            self.failures += 1
            self.error = f"{type(error).__name__}: {error}"
            self._retry_at = self._clock() + self._pause
            opened = self.failures == self._limit
        if opened:
            self._changed(self.error)
