"""The way from a process to the simulated cache server: late, lossy, and cut at times."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError, TimeoutError as RedisTimeoutError

from cachekit.stores.wire import Heard
from tests.consistency.hub import SECOND, Actor, Hub, Process
from tests.consistency.redis_model import RedisModel
from tests.consistency.scenarios import Scenario

TIMEOUT = SECOND // 10
TRIP = 400
"""The most microseconds that a message takes one way, as a rule."""


class Posted:
    """A message that nobody waits for, over a connection to one run of the server."""

    def __init__(self, payload: bytes, heard: Heard, run: bytes | None) -> None:
        self.payload, self.heard, self.run = payload, heard, run
        self.done = False
        self.replies: list[Any] | None = None


class Network:
    """What is between all processes and the server."""

    def __init__(self, hub: Hub, server: RedisModel, rng: Random, scenario: Scenario) -> None:
        self.hub, self.server, self.rng = hub, server, rng
        self.scenario = scenario
        self.down = False
        self.host = Process("server")
        self._greeted: dict[Process | None, bytes] = {}
        """The run of the server that a process is connected to."""
        self._listening: dict[bytes, list[Actor]] = {}
        self._posted: dict[Actor, list[Posted]] = {}
        """What each actor has sent without waiting: it comes before whatever else that actor sends."""
        server.rings = self._rung

    def exchange(self, payload: bytes, replies: int, *, timeout: float | None = None) -> list[Any]:
        """What `Wire.exchange` does. Raises redis-py's errors."""
        hub, rng = self.hub, self.rng
        if hub.closing:
            raise RedisConnectionError("the world has ended")
        self._arrive(hub.current())
        if (dice := rng.random()) < 0.6:  # each event costs a microsecond or two
            hub.sleep(30 + int(dice * TRIP))
        if self.down:
            hub.sleep(int(rng.random() * TIMEOUT))
            raise RedisTimeoutError("Timeout reading from socket")
        if timeout is not None:
            return [self._block(payload, timeout)]
        if self.scenario.loss and rng.random() < self.scenario.loss:
            return self._trouble(payload)
        answers = self._carried_out(payload)
        if rng.random() < 0.2:  # the way back takes time too; most of the readers do nothing meanwhile
            hub.sleep(int(rng.random() * TRIP))
        return answers

    def post(self, payload: bytes, replies: int, heard: Heard) -> Posted:
        """What `Wire.post` does: the message is on its way, and may be lost with the server."""
        me = self.hub.current()
        posted = Posted(payload, heard, self._greeted.get(self.hub.process))
        self._posted.setdefault(me, []).append(posted)
        lost = self.scenario.loss and self.rng.random() < self.scenario.loss
        if not lost:
            self.hub.spawn(self.host, lambda: self._land(posted), int(self.rng.random() * TRIP))
        return posted

    def hear_on(self, posted: Posted) -> None:
        """What `Wire.hear_on` does: wait for one answer, and so for those before it."""
        me = self.hub.current()
        if posted not in self._posted.get(me, ()):
            return
        if not posted.done:
            self.hub.sleep(int(self.rng.random() * TRIP))
        self._arrive(me)

    def hear(self) -> None:
        """What `Wire.hear` does, for all threads of a process."""
        for actor in list(self._posted):
            if actor.process is self.hub.process:
                self._arrive(actor)

    @property
    def owes(self) -> bool:
        """What `Wire.owes` is."""
        return any(actor.process is self.hub.process for actor in self._posted)

    def _land(self, posted: Posted) -> None:
        if not posted.done and not self.down and posted.run == self.server.run_id:
            posted.done = True
            posted.replies = self.server.exchange(posted.payload)

    def _arrive(self, actor: Actor) -> None:
        """Read the answers to what an actor has posted."""
        for posted in self._posted.pop(actor, ()):
            self._land(posted)
            posted.heard(posted.replies)

    def distrust(self) -> None:
        """What `Wire.distrust` does."""
        self._greeted.pop(self.hub.process, None)

    def _carried_out(self, payload: bytes) -> list[Any]:
        """Have the server carry it out; over a new connection first, where the server was started anew."""
        process = self.hub.process
        while (run := self.server.run_id) != self._greeted.get(process):
            self._greet(process, run)
        if self.rng.random() >= self.scenario.pieces:
            return self.server.exchange(payload)
        return self._in_pieces(payload, run)

    def _greet(self, process: Process | None, run: bytes) -> None:
        store = getattr(process, "store", None)
        if store is not None:
            talk, answers = store.greet(), None
            with suppress(StopIteration):
                while self.server.run_id == run:
                    wanted = talk.send(answers)
                    self.hub.sleep(int(self.rng.random() * TRIP))
                    if self.server.run_id != run:
                        return
                    answers = self.server.exchange(wanted.payload)
        if self.server.run_id == run:
            self._greeted[process] = run

    def _in_pieces(self, payload: bytes, run: bytes) -> list[Any]:
        """Others' commands come between those of a pipeline; the wire sends all of it again over a new connection."""
        answers = []
        for command in self.server.parse(payload):
            answers.append(self.server.execute(command))
            self.hub.sleep(int(self.rng.random() * 3 * TRIP))
            if self.server.run_id != run:
                return self._carried_out(payload)
        return answers

    def _trouble(self, payload: bytes) -> list[Any]:
        hub, rng = self.hub, self.rng
        kind = rng.randrange(5)
        if kind == 0:  # slow
            hub.sleep(int(rng.random() * TIMEOUT))
            return self._carried_out(payload)
        if kind == 1:  # twice: the wire sends again when a connection that was idle turns out dead
            hub.spawn(self.host, lambda: self.server.exchange(payload), int(rng.random() * 3 * SECOND))
            return self._carried_out(payload)
        if kind == 2:  # the answer is lost
            self._carried_out(payload)
        elif kind == 3:  # carried out when nobody waits any more
            hub.spawn(self.host, lambda: self.server.exchange(payload), int(rng.random() * 3 * SECOND))
        hub.sleep(TIMEOUT)
        raise RedisTimeoutError("Timeout reading from socket")

    def _block(self, payload: bytes, timeout: float) -> Any:
        command = self.server.parse(payload)[0]
        bell, limit = command[6], int(command[4])
        found = self._rang(command)
        if found is None:
            waiting = self._listening.setdefault(bell, [])
            waiting.append(self.hub.current())
            self.hub.sleep(limit * 1000)
            found = self._rang(command)
        if self.scenario.deaf:
            self.hub.sleep(int(self.rng.random() * self.scenario.deaf * 1000))
        return found

    def _rang(self, command: Sequence[bytes]) -> Any:
        if isinstance(self.server.find(command[6]), bytes):
            return [b"rung"]
        return self.server.execute(command)

    def _rung(self, bell: bytes) -> None:
        for actor in self._listening.pop(bell, ()):
            self.hub.wake(actor)
