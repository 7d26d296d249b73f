"""What a peer's process measures of a call: times, CPU, calls of Python, and where the time goes."""

from __future__ import annotations

import asyncio
import cProfile
import gc
import inspect
import pstats
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import repeat
from pathlib import Path
from typing import Any

from benchmarks.harness import Chunk

Call = Callable[[], Any]


class Measured:
    """A call, with the event loop that awaits it if it is a coroutine function."""

    def __init__(self, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        self.call = call
        self.loop = loop
        self.awaited = inspect.iscoroutinefunction(getattr(call, "func", call))

    def sends(self) -> bool:
        """Say whether a call sends something to somebody."""
        sent = []

        def note(_: Any, event: str, what: Any) -> None:
            if event == "c_call" and what.__name__ in {"send", "sendall", "sendmsg"}:
                sent.append(what)

        self._observed(note)
        return bool(sent)

    def timed(self, samples: int, repeated: int) -> Chunk:
        """Return the microseconds of a call, for each sample of `repeated` calls."""
        gc.disable()
        cpu = time.process_time_ns()
        try:
            if self.awaited:
                us = self.loop.run_until_complete(_awaited(self.call, samples, repeated))
            else:
                us = _called(self.call, samples, repeated)
        finally:
            cpu = time.process_time_ns() - cpu
            gc.enable()
        gc.collect(0)
        return Chunk(us, cpu / 1000 / (samples * repeated), samples * repeated)

    def spun(self, seconds: float) -> float:
        """Call for so long; return the calls a second."""
        began, done = time.perf_counter(), 0
        while (taken := time.perf_counter() - began) < seconds:
            self.timed(1, 20)
            done += 20
        return done / taken

    def counted(self) -> tuple[int, int]:
        """Return how many functions written in Python one call calls, and how many functions in all."""
        return min(self._counted() for _ in range(7))

    def profiled(self, calls: int, top: int) -> list[dict[str, Any]]:
        """Return the functions that take most, with microseconds and calls for each call; the profiler slows Python.

        Of five profiles the quickest counts: it was disturbed least.
        """
        return min((self._profiled(calls) for _ in range(5)), key=lambda rows: sum(row["us"] for row in rows))[:top]

    def _profiled(self, calls: int) -> list[dict[str, Any]]:
        profile = cProfile.Profile()
        profile.enable()
        if self.awaited:
            self.loop.run_until_complete(_awaited(self.call, calls, 1))
        else:
            _called(self.call, calls, 1)
        profile.disable()
        table: Any = pstats.Stats(profile).stats  # type: ignore[attr-defined]
        rows = [
            {"where": _place(where), "us": own / calls * 1e6, "calls": count / calls}
            for where, (_, count, own, _, _) in table.items()
        ]
        return sorted(rows, key=lambda row: -float(row["us"]))

    def _counted(self) -> tuple[int, int]:
        seen = {"call": 0, "c_call": 0}

        def note(_: Any, event: str, __: Any) -> None:
            if event in seen:
                seen[event] += 1

        self._observed(note)
        return seen["call"], seen["call"] + seen["c_call"] - 1  # the end of the profile is a call too

    def _observed(self, note: Callable[[Any, str, Any], None]) -> None:
        if self.awaited:
            self.loop.run_until_complete(_noted(self.call, note))
            return
        sys.setprofile(note)
        self.call()
        sys.setprofile(None)


async def _noted(call: Callable[[], Awaitable[Any]], note: Callable[[Any, str, Any], None]) -> None:
    sys.setprofile(note)
    await call()
    sys.setprofile(None)


def _called(call: Call, samples: int, repeated: int) -> list[float]:
    clock, us = time.perf_counter_ns, []
    for _ in range(samples):
        began = clock()
        for _ in repeat(None, repeated):
            call()
        us.append((clock() - began) / 1000 / repeated)
    return us


async def _awaited(call: Callable[[], Awaitable[Any]], samples: int, repeated: int) -> list[float]:
    clock, us = time.perf_counter_ns, []
    for _ in range(samples):
        began = clock()
        for _ in repeat(None, repeated):
            await call()
        us.append((clock() - began) / 1000 / repeated)
    return us


def _place(where: tuple[str, int, str]) -> str:
    path, line, name = where
    if path == "~":
        return name
    parts = Path(path).parts
    return f"{'/'.join(parts[-2:])}:{line} {name}"
