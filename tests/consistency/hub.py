"""Simulated time: actors that sleep, wait and die, one at a time in one thread, in an order that the seed decides."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

START = 1_700_000_000_000_000
SECOND = 1_000_000


class Process:
    """What one operating system's process would have to itself; dead once killed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False


class Actor(greenlet):
    """One thread of a process: ordinary blocking code, suspended wherever it sleeps or waits."""

    def __init__(self, hub: Hub, process: Process, run: Callable[[], Any]) -> None:
        super().__init__(run, hub.main)
        self.process = process
        self.turn = 0
        """Which of its wake-ups is the next: those of a wait that is over are not."""
        self.transactions: dict[Any, None] = {}
        """What `threading.local` keeps for a thread."""
        self.write: Any = None


class Hub:
    """The clock, and whose turn it is. Times in whole microseconds."""

    def __init__(self, enter: Callable[[Process | None, Process], None]) -> None:
        self.now = START
        self.moment = 0
        """The number of the present event: tells before from after where two happen in one microsecond."""
        self.main = getcurrent()
        self.process: Process | None = None
        self.finished = False
        self.closing = False
        self._enter = enter
        self._numbers = itertools.count()
        self._heap: list[tuple[int, int, Actor, int]] = []
        self._actors: set[Actor] = set()

    def monotonic(self) -> float:
        """Return the time in seconds."""
        return self.now / SECOND

    def spawn(self, process: Process, run: Callable[[], Any], delay: int = 0) -> Actor:
        """Start an actor after a while."""
        actor: Actor

        def life() -> None:
            try:
                run()
            finally:
                self._actors.discard(actor)

        actor = Actor(self, process, life)
        self._actors.add(actor)
        self._schedule(actor, delay)
        return actor

    def sleep(self, delay: int) -> None:
        """Let so many microseconds pass, and others act; ends sooner where `wake` is called."""
        me = self.current()
        heappush(self._heap, (self.now + delay, next(self._numbers), me, me.turn))
        while True:
            if self.finished:
                self.main.switch()
                break
            when, _, target, turn = heappop(self._heap)
            process = target.process
            if target.turn != turn or process.dead:
                continue
            target.turn = turn + 1
            self.now = when
            self.moment += 1
            if target is me:
                return
            if process is not self.process:
                self._swap(process)
            target.switch()
            break
        if self.closing:
            raise GreenletExit

    def wake(self, actor: Actor) -> None:
        """Let an actor that is parked go on now."""
        if not self.closing:
            self._schedule(actor, 0)

    def current(self) -> Actor:
        """Return whose turn it is."""
        me = getcurrent()
        if self.closing or not isinstance(me, Actor):
            raise GreenletExit
        return me

    def run(self) -> None:
        """Let the actors act until one sets `finished`; errors that they do not catch are raised here."""
        while self._heap and not self.finished:
            when, _, target, turn = heappop(self._heap)
            if target.turn == turn and not target.process.dead:
                target.turn += 1
                self.now = when
                self.moment += 1
                self._swap(target.process)
                target.switch()

    def close(self) -> None:
        """End what is still under way: its clean-up can reach nobody any more."""
        self.closing = True
        while self._actors:
            actor = self._actors.pop()
            if actor.process is not self.process:
                self._swap(actor.process)
            actor.throw(GreenletExit)

    def _schedule(self, actor: Actor, delay: int) -> None:
        heappush(self._heap, (self.now + delay, next(self._numbers), actor, actor.turn))

    def _swap(self, process: Process) -> None:
        self._enter(self.process, process)
        self.process = process


class Landing:
    """A `concurrent.futures.Future` in simulated time, as far as flights use one."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._done = False
        self._result: Any = None
        self._waiting: list[Actor] = []

    def done(self) -> bool:
        """Tell whether there is a result."""
        return self._done

    def set_result(self, result: Any) -> None:
        """Wake those who wait."""
        self._done, self._result = True, result
        for actor in self._waiting:
            self._hub.wake(actor)

    def result(self, timeout: float) -> Any:
        """Wait for the result. Raises TimeoutError."""
        if not self._done:
            self._waiting.append(self._hub.current())
            self._hub.sleep(int(timeout * SECOND))
        if not self._done:
            raise TimeoutError
        return self._result
