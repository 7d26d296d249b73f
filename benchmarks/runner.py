"""Measures: operations in interleaved chunks, several processes at once, other cores, memory."""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from typing import Any

from benchmarks.families import OPERATIONS, Operation
from benchmarks.goals import judged
from benchmarks.harness import Chunk, Series, chunk_size, machine
from benchmarks.load import loaded
from benchmarks.pins import ALL, CLIENT, SERVER, told
from benchmarks.stage import Gone, Servers, Worker, present, servers, workers

SAME_CORE = ("cachekit", "django-redis", "socket")
Sizes = dict[tuple[str, str], tuple[int, int]]
"""For each operation and peer: the samples of a chunk, and the calls of a sample."""
LEAST_ROUNDS = 3
COUNTED = 200
"""Calls by which the server's CPU is taken."""


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    seconds: float
    """On a busy machine there are fewer rounds: those that end within this time."""
    chunk_us: float
    spin_seconds: float
    crowded: tuple[str, ...]
    """Who is tried with four processes."""
    weighed: int
    profiled: int
    loads: int
    load_seconds: float
    loaded: tuple[str, ...]
    """Who is tried behind a web server."""


FULL = Effort(
    rounds=40,
    seconds=10,
    chunk_us=15_000,
    spin_seconds=1.0,
    crowded=("cachekit-near", "cachekit", "django-redis", "locmem"),
    weighed=1000,
    profiled=100,
    loads=7,
    load_seconds=1.0,
    loaded=("uncached", "locmem", "cachekit-public", "cachekit-near", "cachekit", "cacheops", "django-redis", "django"),
)
QUICK = Effort(
    rounds=6,
    seconds=2.5,
    chunk_us=5_000,
    spin_seconds=0.2,
    crowded=("cachekit-near",),
    weighed=300,
    profiled=20,
    loads=3,
    load_seconds=0.3,
    loaded=("uncached", "locmem", "cachekit-public", "cachekit-near", "cachekit"),
)


class Run:
    """One run: what was found so far, and what went wrong."""

    def __init__(self, effort: Effort, families: Iterable[str]) -> None:
        self.effort = effort
        self.families = set(families)
        self.draw = random.Random(1)
        self.began = time.monotonic()
        self.names, self.absent = present()
        self.found: dict[str, Any] = {
            "machine": machine(),
            "pins": told(),
            "quick": effort is QUICK,
            "absent": self.absent,
            "versions": {},
            "operations": {},
            "same_core": {},
            "processes": {},
            "memory": {},
            "profiles": {},
            "requests": {},
            "load_share": 0.0,
            "failed": {},
        }

    def measure(self) -> dict[str, Any]:
        """Measure everything, and return what was found."""
        with servers() as running:
            with workers(running, self.names) as started:
                working = dict(zip(self.names, started, strict=True))
                working["cachekit"].ask("migrate")
                self.step("servers and processes have started")
                self.found["versions"] = {name: worker.peer.version() for name, worker in working.items()}
                for _, each_round in groupby(OPERATIONS.values(), key=lambda one: one.round or one.name):
                    operations = [one for one in each_round if one.family in self.families]
                    if operations:
                        self.together(operations, working, running)
                if "values" in self.families:
                    self.same_core(working)
                self.memory(working)
                self.profile(working)
                self.step("one core, memory, profiles")
            if "values" in self.families:
                self.crowd(running)
            if "pages" in self.families:
                self.load(running)
        return self.found

    def step(self, what: str) -> None:
        """Say what is done."""
        print(f"{time.monotonic() - self.began:6.1f} s  {what}", file=sys.stderr, flush=True)

    def together(self, operations: Sequence[Operation], working: Mapping[str, Worker], running: Servers) -> None:
        """Time operations for all peers that offer them, in rounds whose order is drawn anew."""
        sizes: Sizes = {}
        for operation in operations:
            for name, worker in working.items():
                if worker.peer.offers(operation.name, operation.family):
                    try:
                        us = worker.ask("prepare", operation=operation.name)
                        sizes[operation.name, name] = chunk_size(us, self.effort.chunk_us)
                    except Gone as error:
                        self.failed(name, operation.name, error)
        taken = interleaved(working, sizes, self.effort, self.draw)
        for (operation_name, name), series in taken.items():
            row = series.figures()
            row["python_calls"], row["all_calls"] = working[name].ask("count", operation=operation_name)
            row["server_cpu_us"] = server_cpu(operation_name, working[name], running)
            self.found["operations"].setdefault(operation_name, {})[name] = row
        self.step(", ".join(one.title for one in operations))

    def same_core(self, working: Mapping[str, Worker]) -> None:
        """Time one read with client and server on one core."""
        rivals = {name: working[name] for name in SAME_CORE if name in working}
        if len(ALL) < 2:
            return
        sizes = {}
        for name, worker in rivals.items():
            worker.ask("pin", cores=sorted(SERVER))
            sizes["get-100", name] = chunk_size(worker.ask("prepare", operation="get-100"), 8_000)
        taken = interleaved(rivals, sizes, self.effort, self.draw)
        self.found["same_core"]["get-100"] = {name: one.figures() for (_, name), one in taken.items()}
        for worker in rivals.values():
            worker.ask("pin", cores=sorted(CLIENT))

    def crowd(self, running: Servers) -> None:
        """Count the calls a second of one process and of four, which may use every core."""
        for name in self.effort.crowded:
            if name in self.found["operations"].get("get-100", {}):
                with workers(running, [name] * 4) as working:
                    try:
                        self.found["processes"][name] = crowded(working, self.effort.spin_seconds)
                    except Gone as error:
                        self.failed(name, "one process and four", error)
        self.step("one process and four")

    def memory(self, working: Mapping[str, Worker]) -> None:
        """Weigh entries."""
        kinds = {"memory": "near", "result-memory": "results", "entry-memory": "entries", "row-memory": "rows"}
        for family, what in kinds.items():
            for name, worker in working.items():
                if family in worker.peer.families:
                    try:
                        weight = worker.ask("weigh", what=what, count=self.effort.weighed)
                        self.found["memory"].setdefault(what, {})[name] = weight
                    except Gone as error:
                        self.failed(name, what, error)

    def profile(self, working: Mapping[str, Worker]) -> None:
        """See where the time goes in what falls short."""
        for verdict in judged(self.found):
            name, operation = verdict.goal.ours
            if verdict.word == "short" and verdict.goal.kind == "times":
                rows = working[name].ask("profile", operation=operation, calls=self.effort.profiled, top=8)
                self.found["profiles"][f"{OPERATIONS[operation].title}: {working[name].peer.title}"] = rows

    def load(self, running: Servers) -> None:
        """Ask through a web server."""
        if not find_spec("gunicorn"):
            self.found["absent"]["requests a second"] = "gunicorn is not installed"
            return
        names = [name for name in self.effort.loaded if name in self.names]
        try:
            found = loaded(names, running, self.effort.loads, self.effort.load_seconds)
            self.found["requests"], self.found["load_share"] = found
        except (Gone, OSError) as error:
            self.failed("uncached", "requests a second", Gone(str(error)))
        self.step("requests a second")

    def failed(self, name: str, what: str, error: Gone) -> None:
        """Leave a peer out of an operation, and say so."""
        self.found["failed"].setdefault(name, {})[what] = str(error)
        print(f"{name} is left out of {what}: {str(error).strip().splitlines()[-1]}", file=sys.stderr, flush=True)


def interleaved(
    working: Mapping[str, Worker], sizes: Sizes, effort: Effort, draw: random.Random
) -> dict[tuple[str, str], Series]:
    """Return the rounds of each operation and peer, in the order of the sizes."""
    taken = {pair: Series() for pair in sizes}
    began = time.monotonic()
    for done in range(effort.rounds):
        if done >= LEAST_ROUNDS and time.monotonic() - began > effort.seconds:
            break
        for pair in draw.sample(list(sizes), len(sizes)):
            operation, name = pair
            samples, repeated = sizes[pair]
            answer = working[name].ask("time", operation=operation, samples=samples, repeated=repeated)
            taken[pair].chunks.append(Chunk(*answer))
    return taken


def server_cpu(operation: str, worker: Worker, running: Servers) -> float:
    """Return the microseconds of CPU that Valkey uses for one call."""
    before = running.cpu_us()
    asked = running.cpu_us() - before
    worker.ask("time", operation=operation, samples=COUNTED, repeated=1)
    return max(0.0, (running.cpu_us() - before - 2 * asked) / COUNTED)


def crowded(working: Sequence[Worker], seconds: float) -> dict[str, float]:
    """Return the calls a second of the first process, and of all."""
    for worker in working:
        worker.tell("pin", cores=sorted(ALL))
        worker.tell("prepare", operation="get-100")
    for worker in [*working, *working]:
        worker.answer()
    one = statistics.median(spun(working[:1], seconds) for _ in range(3))
    four = statistics.median(spun(working, seconds) for _ in range(3))
    return {"1": one, "4": four}


def spun(crowd: Sequence[Worker], seconds: float) -> float:
    """Have all call at the same time; return the calls a second of all together."""
    for worker in crowd:
        worker.tell("spin", operation="get-100", seconds=seconds)
    return float(sum(worker.answer() for worker in crowd))
