"""A world in one thread: processes that run cachekit's own code, plugged into simulated time, network and database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from random import Random
from types import SimpleNamespace
from typing import Any

from greenlet import getcurrent

from cachekit import computing, databases, engine, filling, gathering, hooks, intents, invalidation, near
from cachekit.core import flights, plans, tags
from cachekit.core.steps import Invalidate
from cachekit.databases import Replica
from cachekit.orm import early, ongoing, replicas, snapshots, transactions
from cachekit.stores import channel, ledger, redis
from tests.consistency.auditor import Auditor
from tests.consistency.database import ALIAS, REPLICA, STATEMENT, Boxed, Connection, Database, outbox_of
from tests.consistency.hub import SECOND, Actor, Hub, Landing, Process
from tests.consistency.network import Network
from tests.consistency.redis_model import RedisModel, forget_places
from tests.consistency.scenarios import Scenario


class Worker(Process):
    """A process with a store, its flights, and what it has not delivered yet; its clock goes a little wrong."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(name)
        self.skew = world.rng.randrange(-20_000, 20_000)
        self.flights = flights.Flights()
        self.undelivered: dict[str, list[Invalidate]] = {}
        self.posted: set[str] = set()
        self.courier: Any = (None, 0.0)
        self.connections: list[Connection] = []
        self.store = redis.RedisStore(ALIAS, "sim", None)  # type: ignore[arg-type]
        self.store.wire = world.network  # type: ignore[assignment]
        self.store.awire = SimpleNamespace(distrust=lambda: None)  # type: ignore[assignment]
        self.store.breaker._clock = world.hub.monotonic
        self.store.follower = SimpleNamespace(follow=lambda: None, stop=lambda: None)  # type: ignore[assignment]
        self.nears: dict[str, Any] = {}


class World:
    """Everything that one seed decides."""

    def __init__(self, seed: int, scenario: Scenario, *, tracing: bool = False) -> None:
        self.rng = Random(f"{seed} {scenario.name}")
        self.seed, self.scenario = seed, scenario
        self.hub = Hub(self._enter)
        self.offset = 0
        """By how much the cache server's clock is wrong."""
        self.auditor = Auditor(self.hub, tracing=tracing)
        self.server = RedisModel(lambda: self.hub.now + self.offset)
        self.server.streams = scenario.streams
        self.server.policy = b"allkeys-random" if scenario.evictions else b"noeviction"
        self.network = Network(self.hub, self.server, self.rng, scenario)
        self.database = Database(self.hub, self.rng, scenario, self.auditor)
        self.outside = Process("outside")
        self.workers: list[Worker] = []
        self.ending = False
        self._idle = Worker(self, "nobody")

    def worker(self, name: str) -> Worker:
        """Start a process."""
        worker = Worker(self, name)
        self.workers.append(worker)
        return worker

    def kill(self, worker: Worker) -> None:
        """End a process between two of its steps."""
        worker.dead = True
        self.workers.remove(worker)
        for connection in worker.connections:
            connection.vanish()

    def connect(self, alias: str = ALIAS) -> Connection:
        """Return a connection to the database or its replica, of the process whose code runs now."""
        connection = Connection(self.database, alias)
        self.here.connections.append(connection)
        return connection

    @property
    def here(self) -> Worker:
        """Return the process whose code runs now."""
        process = self.hub.process
        return process if isinstance(process, Worker) else self._idle

    def relay(self, *rows: Boxed) -> bool:
        """Deliver rows of the outbox; tell whether none of them is left."""
        self.hub.sleep(STATEMENT)
        outbox = self.database.outbox
        for row in rows:
            if row in outbox and invalidation.relayed(row.tags, (ALIAS,)) and row in outbox:
                outbox.remove(row)
                self.auditor.report.happened["relayed"] += 1
                if row.write.number:
                    self.auditor.note("told", row.write.cells, row.write.number)
        return not any(row in outbox for row in rows)

    def _enter(self, before: Process | None, after: Process) -> None:
        """Put a process's globals in the place of another's."""
        if isinstance(before, Worker):
            before.courier = invalidation._courier, invalidation._busy_until
        if isinstance(after, Worker):
            engine.flights, near._nears = after.flights, after.nears
            invalidation._undelivered, invalidation._posted = after.undelivered, after.posted
            invalidation._courier, invalidation._busy_until = after.courier

    @contextmanager
    def plugged(self) -> Iterator[None]:
        """Have cachekit's modules find this world where they look for the real one, which keeps out of it."""
        if invalidation._courier is not None:
            invalidation.forget()
            invalidation._courier[1].join()
        with ExitStack() as stack:
            for module, name, value in self._plugs():
                stack.callback(setattr, module, name, getattr(module, name))
                setattr(module, name, value)
            stack.callback(forget_places)
            forget_places()
            try:
                yield
            finally:
                self.hub.close()

    def _plugs(self) -> Iterator[tuple[Any, str, Any]]:
        hub, rng = self.hub, self.rng
        telling = SimpleNamespace(**{name: getattr(hooks, name) for name in dir(hooks) if name[0].isupper()})
        telling.looked_up = telling.tell = self._told
        clock = SimpleNamespace(
            monotonic=hub.monotonic,
            time_ns=lambda: (hub.now + self.here.skew) * 1000,
            sleep=lambda seconds: hub.sleep(int(seconds * SECOND)),
        )
        for module in (engine, computing, filling, gathering, invalidation, redis):
            yield module, "hooks", telling
        for module in (engine, computing, filling, invalidation, redis, near, channel):
            yield module, "time", clock
        for module in (engine, computing, filling, gathering, near):
            yield module, "random", rng
        for module in (plans, flights):
            yield module, "time", clock
        yield near, "_nears", near._nears
        yield computing, "apart", snapshots.apart
        for module in (engine, gathering, intents, invalidation, near):
            yield module, "store_for", lambda alias: self.here.store
        yield invalidation, "drained", lambda alias: self.relay(*self.database.outbox)
        for module in (intents, invalidation):
            yield module, "aliases", lambda: [ALIAS]
        yield invalidation, "threading", SimpleNamespace(Thread=self._thread)
        for name in ("_undelivered", "_posted", "_courier", "_busy_until"):
            yield invalidation, name, getattr(invalidation, name)
        yield engine, "flights", engine.flights
        yield flights, "Future", lambda: Landing(hub)
        yield computing, "keeper", SimpleNamespace(keeping=lambda lease, renew: nullcontext())
        yield computing, "dirty_tags", transactions.dirty_tags
        yield ledger, "os", SimpleNamespace(urandom=rng.randbytes)
        yield ledger, "BUCKET_LIMIT", self.scenario.points
        yield tags, "BUCKETS", self.scenario.buckets
        yield computing, "snapshot", snapshots.oldest
        yield from self._transactions(clock)

    def _transactions(self, clock: SimpleNamespace) -> Iterator[tuple[Any, str, Any]]:
        hub, rng = self.hub, self.rng
        for module in (ongoing, replicas, snapshots, early, transactions):
            yield module, "time", clock
        behind = self.scenario.replicas and {REPLICA: Replica(ALIAS, self.scenario.lag / 1000)}
        for module in (databases, replicas):
            yield module, "replicas", lambda: behind or {}
        yield ongoing, "_local", ActorLocal()
        yield early, "token_hex", lambda size: rng.randbytes(size).hex()
        yield early, "ENOUGH", early.ENOUGH if self.seed % 2 else 0
        yield transactions, "connections", SimpleNamespace(settings={ALIAS: {}, REPLICA: {}})
        yield transactions, "outbox", outbox_of(self.database, lambda: hub.current().write)

    def _told(self, event: Any) -> None:
        if type(event) is hooks.Lookup:
            self.auditor.report.lookups[event.result] += 1

    def _thread(self, target: Callable[[], None], **_: object) -> Any:
        """Start a thread of this process."""
        process, over = self.here, []

        def run() -> None:
            try:
                target()
            finally:
                over.append(True)

        return SimpleNamespace(start=lambda: self.hub.spawn(process, run), is_alive=lambda: not over)


class ActorLocal:
    """What `threading.local` is to threads: each actor has its own."""

    @property
    def transactions(self) -> dict[Any, None]:
        """Return the transactions open in this actor."""
        me = getcurrent()
        return me.transactions if isinstance(me, Actor) else {}
