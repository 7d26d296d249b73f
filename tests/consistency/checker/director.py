"""Run one subject: its servers, its processes, its faults by a seed; then judge what was read."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.consistency.checker.cache_server import CacheServer, preload
from tests.consistency.checker.cast import Cast
from tests.consistency.checker.faults import CLOCK, FAULTS, LAST, NOTHING
from tests.consistency.checker.logs import counted, lines_in, reads_in
from tests.consistency.checker.subjects import Subject
from tests.consistency.checker.truth import written
from tests.consistency.checker.verdicts import Judge, Standing, Verdicts, Window
from tests.consistency.checker.world import now
from tests.servers import Postgres

LEASE_SECONDS = 12.0
"""Longer than an intent stands: what is stale after so long a quiet stays stale."""
WARM_SECONDS = 1.0
ENDLESS = 1 << 62


@dataclass(frozen=True)
class Plan:
    """How a subject is to be run."""

    subject: Subject
    seed: int = 1
    reads: int = 0
    """Go through the faults again until there were so many."""
    faults: Sequence[str] = ()
    """Which, in an order drawn by the seed; all if none is named."""
    readers: int = 3
    writers: int = 2
    quiet: float = LEASE_SECONDS
    """How long nobody writes before everything is read once more."""
    server: str = "valkey"
    keep: Path | None = None
    """Where to leave the logs."""


@dataclass
class Outcome:
    """What came of a run."""

    plan: Plan
    verdicts: Verdicts
    seconds: float
    judging: float


class Director:
    """One run; the stage that faults act on."""

    def __init__(self, plan: Plan, database: Postgres) -> None:
        self.plan = plan
        self.database = database
        self.random = random.Random(plan.seed)
        self.cache = CacheServer.named(plan.server)
        self.windows: list[Window] = []
        self.folder = Path(tempfile.mkdtemp(prefix="cachekit-checker-"))
        self.base = f"checker_{plan.subject.name}_{plan.seed}"

    def run(self) -> Outcome:
        """Go through everything and judge it."""
        began = time.monotonic()
        self.sql("postgres", f"CREATE DATABASE {self.base}")
        try:
            with self.cache, self.cast() as self.players:
                self.perform()
            seconds = time.monotonic() - began
            verdicts = self.judged()
            return Outcome(self.plan, verdicts, seconds, time.monotonic() - began - seconds)
        finally:
            if self.plan.keep:
                shutil.copytree(self.folder, self.plan.keep / self.base, dirs_exist_ok=True)
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(psycopg.OperationalError):  # a fault may have been cut short
                self.sql("postgres", f"DROP DATABASE {self.base} WITH (FORCE)")

    def cast(self) -> Cast:
        """Return the processes, none of which has started."""
        environment = {
            "CHECKER_SUBJECT": self.plan.subject.name,
            "CHECKER_REDIS_PORT": str(self.cache.port or self.cache.start().port),
            "CHECKER_POSTGRES_PORT": str(self.database.port),
            "CHECKER_DATABASE": self.base,
            "CHECKER_FOLDER": str(self.folder),
        }
        return Cast(self.folder, environment, self.random)

    def perform(self) -> None:
        """Load, break, mend, wait until nothing stands any more, read everything once more."""
        players, subject = self.players, self.plan.subject
        players.carry_out("prepare")
        roles = ["reader"] * self.plan.readers + ["writer"] * self.plan.writers
        roles += ["relay"] * subject.relays + ["outsider"] * subject.triggers
        for role in roles:
            players.start(role)
        self.window(NOTHING)
        self.wait_for_reads()
        time.sleep(WARM_SECONDS)
        for name in self.schedule():
            self.window(name)
            for seconds in FAULTS[name](self):
                time.sleep(seconds)
            players.check()
            time.sleep(self.random.uniform(0.5, 1.0))
        time.sleep(WARM_SECONDS)
        for role in ("writer", "outsider"):
            players.end(role)
        time.sleep(self.plan.quiet)
        for role in ("reader", "relay"):
            players.end(role)

    def schedule(self) -> Iterator[str]:
        """Yield the faults in an order of the seed, again and again until there were reads enough."""
        chosen = [name for name in FAULTS if name in (self.plan.faults or FAULTS)]
        if CLOCK in chosen and (not preload() or self.plan.server != "valkey"):
            chosen.remove(CLOCK)  # Debian's Redis has an allocator of its own, with which libfaketime clashes
        while True:
            self.random.shuffle(chosen)
            yield from sorted(chosen, key=lambda name: name == LAST)
            if counted(self.folder) >= self.plan.reads:
                return

    def wait_for_reads(self) -> None:
        """Wait until the processes have started: reads come, and something was written."""
        deadline = time.monotonic() + 120
        while counted(self.folder) < 500 or not any(words[0] == "ack" for _, words in lines_in(self.folder)):
            self.players.check()
            if time.monotonic() > deadline:
                raise TimeoutError("the processes have not begun within two minutes")
            time.sleep(0.1)

    def window(self, name: str) -> None:
        """Note that a fault begins."""
        self.windows.append(Window(name, now()))

    def kill(self, role: str) -> None:
        """Kill a process of a role with -9 and start another."""
        self.players.kill(role)

    def signal(self, role: str, number: int) -> None:
        """Send a signal to a process of a role."""
        self.players.signal(role, number)

    def has(self, role: str) -> bool:
        """Tell whether there is a process of a role."""
        return self.players.has(role)

    def judged(self) -> Verdicts:
        """Put truth and reads beside each other."""
        journal = [stamp for (stamp,) in self.sql(self.base, "SELECT stamp FROM checker_journal")]
        lines = list(lines_in(self.folder))
        judge = Judge(written(lines, journal, self.players.deaths), self.windows, self.standing())
        judge.note(lines)
        return judge.judge(reads_in(self.folder))

    def standing(self) -> list[Standing]:
        """Return when tags stood in the outbox; where triggers write every change there it says nothing."""
        subject = self.plan.subject
        if "cachekit" not in subject.apps or subject.triggers:
            return []
        offset = time.time_ns() - now()
        rows: dict[int, tuple[int, int]] = {}
        asked = "SELECT id, deleted, extract(epoch FROM at) * 1000000 FROM checker_outbox ORDER BY at"
        for number, deleted, micro in self.sql(self.base, asked):
            at = int(micro) * 1000 - offset
            start, _ = rows.get(number, (at, 0))
            rows[number] = (start, at) if deleted else (at, ENDLESS)
        return [Standing(*found) for found in rows.values()]

    def sql(self, base: str, text: str) -> list[tuple[int, ...]]:
        """Ask a database directly."""
        where = f"postgresql://postgres@127.0.0.1:{self.database.port}/{base}"
        with psycopg.connect(where, autocommit=True) as link:
            cursor = link.execute(text.encode())
            return cursor.fetchall() if cursor.description else []
