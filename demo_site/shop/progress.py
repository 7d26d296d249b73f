"""Progress on a terminal as a bar, elsewhere as a plain line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from django.core.management.base import OutputWrapper

T = TypeVar("T")
WIDTH = 30


class Progress:
    """How far a long job is."""

    def __init__(self, label: str, total: int, out: OutputWrapper) -> None:
        self.label = label
        self.total = total
        self.out = out
        self.done = 0
        self._bar = out.isatty()
        self._began = self._shown = time.monotonic()

    def over(self, batches: Iterable[list[T]]) -> Iterator[list[T]]:
        """Hand batches on and count them once they have been dealt with."""
        for batch in batches:
            yield batch
            self.add(len(batch))
        self.end()

    def add(self, count: int) -> None:
        """Count some more; show it ten times a second on a terminal, every five seconds elsewhere."""
        self.done += count
        if time.monotonic() - self._shown >= (0.1 if self._bar else 5):
            self._show("")

    def end(self) -> None:
        """Say that it is done."""
        self._show(f" in {time.monotonic() - self._began:.1f} s\n")

    def _show(self, tail: str) -> None:
        self._shown = time.monotonic()
        share = self.done / self.total if self.total else 1.0
        if self._bar:
            filled = "█" * round(WIDTH * min(1.0, share))
            self.out.write(f"\r{self.label:<10} {filled:░<{WIDTH}} {self.done:>7,} of {self.total:,}{tail}", ending="")
        else:
            self.out.write(f"{self.label}: {self.done:,} of {self.total:,}{tail}")
        self.out.flush()
