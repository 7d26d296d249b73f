"""Who lives in a simulated world: readers, writers, and a relay."""

from __future__ import annotations

import dataclasses
import marshal
from typing import Any

from django.db import DatabaseError
from redis.exceptions import RedisError

from cachekit import engine, gathering, invalidation
from cachekit.core.capture import depend
from cachekit.core.mirror import MAX_LAG
from cachekit.core.policy import Policy, Spec
from cachekit.exceptions import StoreUnavailable
from cachekit.orm import ongoing, replicas
from cachekit.stores.channel import PAUSE, Channel, answers
from tests.consistency.auditor import Miss, Pairs
from tests.consistency.database import ALIAS, FAMILIES, REPLICA, ROWS, SLICES, STATEMENT, Connection, Write
from tests.consistency.hub import SECOND
from tests.consistency.world import Worker, World

MILLISECOND = 1000
FEEDS = 2
LAG = int(MAX_LAG * SECOND)
RELAY = 50 * MILLISECOND
DOORS = (
    *(f"{family}#{row}" for family in FAMILIES for row in range(ROWS)),
    *(f"{family}?shelf={one}" for family in FAMILIES for one in range(SLICES)),
    *FAMILIES,
    *(f"page-{n}" for n in range(3)),
    *(f"feed-{n}" for n in range(FEEDS)),
    "home",
)
POLICIES = (
    Policy(timeout=None),
    Policy(timeout=300, near=True),
    Policy(timeout=2, grace=1),
    Policy(timeout=4, wait=0.004, near=True),
)


class Marshal:
    """A codec that costs nothing: those of cachekit have tests of their own."""

    number = 9

    def dumps(self, value: Any) -> bytes:
        """Encode."""
        return marshal.dumps(value)

    def loads(self, payload: bytes) -> Any:
        """Decode."""
        return marshal.loads(payload)


KEPT = tuple(f"{FAMILIES[0]}#{row}" for row in range(ROWS))
"""Rows as the cache of rows keeps them: without a lease, dated by the look for them, stored without an answer."""
SPECS = {
    door: Spec(ALIAS, f"sim:{door}", "function", door, POLICIES[at % len(POLICIES)], Marshal())
    for at, door in enumerate(DOORS)
} | {door: Spec(ALIAS, f"sim:{door}", "row", door, Policy(timeout=300, lease=False), Marshal()) for door in KEPT}
TRACKED = {
    door: dataclasses.replace(spec, policy=dataclasses.replace(spec.policy, near=True)) for door, spec in SPECS.items()
}


class Reader:
    """What reads through the cache: one connection's worth of doors."""

    def __init__(self, world: World, connection: Connection) -> None:
        self.world, self.connection = world, connection
        self.replica = world.connect(REPLICA) if world.scenario.replicas else connection
        self.held: Connection | None = None
        """The connection whose snapshot this reader reads."""
        self.snapshot = 0
        """The moment of the database that it shows; 0 on a replica."""
        self.write: Write | None = None

    def get(self, door: str) -> Pairs:
        """Return a door's value, from the cache or computed, and have it checked; inner ones too."""
        began = self.world.hub.moment if self.held is None else self.snapshot
        spec = (TRACKED if self.world.scenario.tracked else SPECS)[door]
        latest = self.world.hub.now - LAG if spec.policy.near else None
        value: Pairs = engine.get_or_set(spec, lambda: self.compute(door))
        self._checked(value, began, latest)
        return value

    def get_many(self) -> Pairs:
        """Return kept rows, asked for at once; those that are missing are read with one read point."""
        began = self.world.hub.moment if self.held is None else self.snapshot
        specs = [(TRACKED if self.world.scenario.tracked else SPECS)[door] for door in KEPT]
        latest = self.world.hub.now - LAG if specs[0].policy.near else None
        values = gathering.gather(specs, lambda places: [(self.read(KEPT[at]), (KEPT[at],)) for at in places])
        if values is None:
            return tuple(pair for door in KEPT for pair in self.get(door))
        found = tuple(pair for value in values for pair in value)
        self._checked(found, began, latest)
        return found

    def _checked(self, value: Pairs, began: int, latest: int | None) -> None:
        self.world.auditor.check(value, began, self.write, latest)
        if self.held is not None and ongoing.of(self.held):  # type: ignore[arg-type]
            self.world.auditor.check_snapshot(value, self.held.snapshot or 0)

    def read(self, cell: str) -> Pairs:
        """Read a cell where the routers say, some from a replica; but all of a snapshot where it was taken."""
        if self.held is not None:
            return self.held.read(cell)
        scenario, rng = self.world.scenario, self.world.rng
        lags = scenario.replicas and rng.random() < scenario.replicas
        using = replicas.routed(REPLICA if lags else ALIAS)
        return (self.replica if using == REPLICA else self.connection).read(cell)

    def compute(self, door: str) -> Pairs:
        """Compute a door's value; pages and the home page ask other doors."""
        if door == "home":
            return (*self.get("page-0"), *self.get("feed-0"), *self.get("page-1"), *self.get_many())
        if door.startswith("page-"):
            return self._page(int(door[-1]))
        if door.startswith("feed-"):
            depend(door)
            self.world.hub.sleep(STATEMENT)
            return ((door, self.world.database.version(door)),)
        return self.read(door)

    def _page(self, n: int) -> Pairs:
        first, second = FAMILIES[n], FAMILIES[(n + 1) % len(FAMILIES)]
        shelf = self.get(f"{first}?shelf=0")
        row = self.read(f"{first}#{n}")
        chosen = self.get(f"{second}#{abs(row[0][1]) % ROWS}")  # what it depends on shows while it is computed
        return (*shelf, *row, *chosen, *self.read(second))


def reads(world: World) -> None:
    """Read, for ever."""
    hub, rng, scenario = world.hub, world.rng, world.scenario
    connection = world.connect()
    reader = Reader(world, connection)
    pause = scenario.reading * 2 * MILLISECOND
    while not world.ending:
        hub.sleep(int(rng.random() * pause))
        door = DOORS[int(rng.random() * len(DOORS))]
        try:
            if rng.random() < scenario.snapshots:
                reads_snapshot(world, reader, door)
            elif rng.random() < scenario.many:
                reader.get_many()
            else:
                reader.get(door)
        except Exception as error:  # the cache is never a reason for one
            world.auditor.count(Miss(door, 0, 0, "error", 0), ((repr(error), 0),))


def reads_snapshot(world: World, reader: Reader, door: str) -> None:
    """Read in a transaction that sees the database, or a replica, as it was at its first statement."""
    lags = world.scenario.replicas and world.rng.random() < 0.5
    connection = reader.replica if lags else reader.connection
    connection.begin("REPEATABLE READ")
    connection.write, reader.snapshot = None, 0 if lags else world.hub.moment
    if world.rng.random() < 0.2:
        # one that nobody saw begin, nor knows of: its reads go their ways
        ongoing.end(connection)  # type: ignore[arg-type]
    connection.read(FAMILIES[0])
    reader.held = connection
    world.hub.sleep(int(world.rng.random() * 5 * MILLISECOND))
    reader.get_many() if world.rng.random() < world.scenario.many else reader.get(door)
    connection._rollback()
    reader.held = None


def writes(world: World) -> None:
    """Write, for ever; each transaction moves rows to slices, and may read what it has written."""
    hub, rng, scenario = world.hub, world.rng, world.scenario
    connection = world.connect()
    reader = Reader(world, connection)
    while not world.ending:
        hub.sleep(int(rng.random() * 2 * scenario.writing * MILLISECOND))
        if rng.random() < 0.1:
            announces(world)
            continue
        write = hub.current().write = connection.begin()
        for _ in range(rng.randrange(1, 4)):
            family = FAMILIES[rng.randrange(len(FAMILIES))]
            connection.update(f"{family}#{rng.randrange(ROWS)}", rng.randrange(SLICES))
            hub.sleep(int(rng.random() * 2 * MILLISECOND))
            if rng.random() < 0.2:
                reader.write = write
                reader.get_many() if rng.random() < scenario.many else reader.get(DOORS[rng.randrange(len(DOORS))])
                reader.write = None
        if not write.cells or rng.random() < scenario.rollbacks:
            connection._rollback()
            continue
        try:
            connection._commit()
        except DatabaseError:
            connection._rollback()
            world.auditor.report.happened["COMMITs refused or without an answer"] += 1
            continue
        world.auditor.report.happened["writes"] += 1
        world.auditor.note("acknowledged", write.cells, write.number)
        if not write.boxed or (write.announced and "committed" not in scenario.expected):
            world.auditor.note("told", write.cells, write.number)
        if not write.boxed and rng.random() < 0.2:
            reads_own(reader, write)


def reads_own(reader: Reader, write: Write) -> None:
    """Read, in the process that has just written, something that it wrote to."""
    rng = reader.world.rng
    for cell, version in reader.get(rng.choice(list(write.cells))):
        if cell in write.cells and version < write.number:
            reader.world.auditor.count(Miss(cell, version, write.number, "own", 0), ((cell, version),))


def follows(world: World, worker: Worker) -> None:
    """Keep a process's mirror, for ever."""
    channel = Channel(worker.store, worker.store.mirror, world.network)
    while True:
        try:
            channel.turn()
        except (StoreUnavailable, RedisError, OSError):
            worker.store.mirror.void()
            answers(worker.store)
            world.hub.sleep(int(PAUSE * SECOND))
            channel = Channel(worker.store, worker.store.mirror, world.network)


def announces(world: World) -> None:
    """Change something that no database knows, and say so by hand."""
    rng, database = world.rng, world.database
    feed = f"feed-{rng.randrange(FEEDS)}"
    database.number += 1
    number = database.number
    database.times.append(world.hub.now)
    database.cells.setdefault(feed, []).append(number)
    tag = "*" if rng.random() < 0.03 else feed
    if not invalidation.invalidate_tags((tag,), why="by hand"):
        for level in ("committed", "acknowledged", "told"):
            world.auditor.note(level, (feed,), number)


def relays(world: World) -> None:
    """Deliver what stands in the outbox, for ever."""
    while True:
        world.hub.sleep(RELAY)
        world.relay(*world.database.outbox)


def staff(world: World, name: str) -> Worker:
    """Start a process with its readers and writers."""
    worker = world.worker(name)
    world.hub.spawn(worker, lambda: follows(world, worker))
    for _ in range(world.scenario.readers):
        world.hub.spawn(worker, lambda: reads(world))
    for _ in range(world.scenario.writers):
        world.hub.spawn(worker, lambda: writes(world))
    return worker


def finds_lasting(world: World) -> None:
    """Read every door once more, when all is over: what is still old stays old."""
    reader = Reader(world, world.connect())
    for door in DOORS:
        for cell, version in reader.get(door):
            newest = world.auditor.newest(cell)
            if version < newest:
                world.auditor.count(Miss(cell, version, newest, "lasting", 0), ((door, 0),))
