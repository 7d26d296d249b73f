"""Wrong variants of cachekit, one line each: what the rigs are worth is how many of them they notice."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from types import CodeType
from typing import Any

from tests.consistency.scenarios import SCENARIOS, Scenario


@dataclass(frozen=True)
class Mutant:
    """`place` is `module:function`; `line` must stand in it exactly once, and `wrong` replaces it."""

    name: str
    place: str
    line: str
    wrong: str
    scenario: Scenario

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Run the wrong code, for whoever has imported the function too."""
        function = self.function
        right = function.__code__
        function.__code__ = self.code()
        try:
            yield
        finally:
            function.__code__ = right

    @property
    def function(self) -> Any:
        """Return the function to change."""
        module, _, path = self.place.partition(":")
        found: Any = import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        return inspect.unwrap(found)

    def code(self) -> CodeType:
        """Return the wrong code. Raises LookupError where the line is no longer there."""
        function = self.function
        source = textwrap.dedent(inspect.getsource(function))
        if source.count(self.line) != 1:
            raise LookupError(f"{self.place} has {source.count(self.line)} lines {self.line!r}: adapt this mutant")
        source = source.replace(self.line, self.wrong)
        made: dict[str, Any] = {}
        source = f"from __future__ import annotations\n{source}"
        exec(compile(source, f"<{self.name}>", "exec"), dict(function.__globals__), made)
        code: CodeType = made[function.__name__].__code__
        return code


HOT = replace(SCENARIOS["races"], name="hot", writing=40, kills=1_500, unanswered=0.01, refused=0.1)
LOSSY_HOT = replace(HOT, name="lossy hot", loss=0.05, kills=400)
MANY = replace(HOT, name="many", many=0.3, purges=4)
REFUSED = replace(HOT, name="refused", refused=0.4, unanswered=0.2, kills=0)
SNAPSHOTS = replace(HOT, name="snapshots", snapshots=0.3)
MANY_PAST = replace(SNAPSHOTS, name="many past", many=0.3)
LOSSY = replace(SCENARIOS["memory"], name="lossy", writing=60, evictions=20, steps=0)
PAST = replace(LOSSY, name="past", snapshots=0.3)
BEHIND = replace(HOT, name="behind", replicas=0.5, lag=300, reading=20, writing=300, purges=5, kills=0, unanswered=0)
FOLDING = replace(SCENARIOS["races"], name="folding", writing=100, kills=0, unanswered=0, buckets=2, points=3)
REBORN = replace(LOSSY, name="reborn", buckets=1, points=50, reading=20, writing=100, evictions=40)
CLOCK = replace(
    SCENARIOS["races"],
    name="clock",
    writing=60,
    kills=1_500,
    unanswered=0.05,
    steps=300,
    jumps=(-900, -900_000, 900_000, -900, -900_000, 900_000, -3_000_000),
)
STILL = replace(CLOCK, name="still", steps=60, jumps=(-900_000, 800_000), unanswered=0, kills=0)
BACKWARDS = replace(
    CLOCK, name="backwards", steps=2_000, jumps=(-3_000_000,), unanswered=0.3, kills=0, writing=600, reading=50
)

OUTAGES = replace(SCENARIOS["outages"], writing=60, outages=1_500, refusals=1_500, restarts=0, restores=1_500)
SILENCES = replace(OUTAGES, name="silences", outages=500, refusals=0, restores=0)
CIRCUITS = replace(
    OUTAGES,
    name="circuits",
    processes=8,
    readers=1,
    reading=15,
    writing=100,
    outages=900,
    refusals=0,
    restores=0,
)
REFUSALS = replace(OUTAGES, outages=0, refusals=300, restores=0)
RESTORES = replace(OUTAGES, name="restores", outages=0, refusals=0, restores=150, writing=30, reading=4)

NEAR = replace(HOT, name="near", writing=100, kills=0, tracked=True, deaf=200)
NEAR_CLOCK = replace(CLOCK, name="near clock", tracked=True)
MIXED = replace(NEAR, name="mixed", tracked=False)
GAPS = replace(NEAR, name="gaps", streams=2, deaf=300)
RARE = replace(NEAR, name="rare", writing=800, reading=4, snapshots=0)
LATE = replace(NEAR, name="late", deaf=4_000)

MIRROR = "cachekit.core.mirror:Mirror"
TRANSACTIONS = "cachekit.orm.transactions"
SCRIPTS = "tests.consistency.scripts_model"

MUTANTS = (
    Mutant(
        "the read point is sampled after the read",
        "cachekit.core.plans:_attempt",
        "    header = produced.header\n",
        "    header = produced.header and produced.header._replace(read_point=(yield steps.Begin('')).read_point)\n",
        HOT,
    ),
    Mutant(
        "the read point is not recorded",
        f"{SCRIPTS}:begin",
        'server.hash_of(root)[b"last"] = text(point)',
        "pass",
        CLOCK,
    ),
    Mutant(
        "no intent before COMMIT",
        f"{TRANSACTIONS}:committing",
        "mark, began, missed = early.announced(connection, ongoing.of(connection), told)",
        "mark, began, missed = 'none', time.monotonic(), {}",
        HOT,
    ),
    Mutant(
        "the intent comes after COMMIT",
        f"{TRANSACTIONS}:committing",
        "mark, began, missed = early.announced(connection, ongoing.of(connection), told)",
        "done, (mark, began, missed) = commit(), early.announced(connection, None, told); commit = lambda: done",
        HOT,
    ),
    Mutant(
        "COMMIT does not wait for the intents that were sent early",
        "cachekit.orm.early:announced",
        "missed = intents.fallen(early.promises)",
        "missed = {}",
        LOSSY_HOT,
    ),
    Mutant(
        "the intents that were sent early are taken for those of all writes",
        "cachekit.orm.early:announced",
        "early.mark and whole and",
        "early.mark and",
        HOT,
    ),
    Mutant(
        "settling erases another writer's intent",
        f"{SCRIPTS}:invalidate",
        "greatest = max(point, others) if known or others > 0 else standing",
        "greatest = point",
        HOT,
    ),
    Mutant(
        "withdrawing erases another writer's intent",
        f"{SCRIPTS}:withdraw",
        "max(last + 1, now, others)",
        "max(last + 1, now)",
        REFUSED,
    ),
    Mutant(
        "a COMMIT without an answer withdraws",
        f"{TRANSACTIONS}:committing",
        "if refused(error):",
        "if True:",
        REFUSED,
    ),
    Mutant(
        "no snapshot guard",
        "cachekit.orm.snapshots:taken",
        "return -math.inf if transaction is None else transaction.began",
        "return None",
        PAST,
    ),
    Mutant(
        "a replica's read point is not lowered",
        "cachekit.orm.snapshots:date",
        "capture.date_back(moment - lag, ",
        "capture.date_back(moment, ",
        BEHIND,
    ),
    Mutant(
        "what a replica showed too late is handed out",
        "cachekit.core.plans:_compute",
        "if produced.lags and",
        "if False and",
        BEHIND,
    ),
    Mutant(
        "a read point is dated to before it was asked for",
        "cachekit.stores.redis:RedisStore._noted",
        "self.samples.note(time.monotonic(),",
        "self.samples.note(time.monotonic() - 0.3,",
        BEHIND,
    ),
    Mutant(
        "a snapshot's reader is given what is newer",
        "cachekit.engine:_judged",
        "hides = (past and not spec.policy.newer_than_snapshot)",
        "hides = False",
        SNAPSHOTS,
    ),
    Mutant(
        "what was invalidated since a snapshot is taken for what it shows",
        "cachekit.engine:_is_shown",
        "found.newest <= point",
        "True",
        SNAPSHOTS,
    ),
    Mutant(
        "what taints an inner value does not taint the outer one",
        "cachekit.computing:_handed_on",
        "outer.spoil(capture.taint)",
        "pass",
        SNAPSHOTS,
    ),
    Mutant(
        "an outer entry leaves out what an inner one depends on",
        "cachekit.core.capture:Capture.take_in",
        "self._blobs.add(inner.tags)",
        "pass",
        HOT,
    ),
    Mutant(
        "a joined computation is not judged",
        "cachekit.core.flights:Outcome.serves",
        "return self.proven or (bool(epoch) and self.header.epoch == epoch and self.header.read_point > arrival)",
        "return True",
        HOT,
    ),
    Mutant(
        "a result of another process is not judged",
        "cachekit.core.plans:_await_holder",
        "if header is not None and header.epoch == came.epoch and header.read_point > came.read_point:",
        "if header is not None:",
        HOT,
    ),
    Mutant(
        "points are dropped without folding",
        f"{SCRIPTS}:fold",
        "floor = max(floor, point)",
        "pass",
        FOLDING,
    ),
    Mutant(
        "acknowledged before the ledger knows",
        "cachekit.invalidation:invalidate_tags",
        "if not _done(one, step, waits=waits):",
        "if _keep(one, step):",
        HOT,
    ),
    Mutant(
        "a transaction's own writes are answered from the cache",
        "cachekit.engine:_judged",
        " or (dirty and touches(header.tags, dirty))",
        "",
        HOT,
    ),
    Mutant(
        "what a transaction reads of its own writes is stored",
        "cachekit.engine:_judged",
        "if dirty or past:",
        "if past:",
        HOT,
    ),
    Mutant(
        "the epoch is ignored",
        "cachekit.core.entry:judge",
        "if header.epoch != found.epoch or found.newest > header.read_point:",
        "if found.newest > header.read_point:",
        LOSSY,
    ),
    Mutant(
        "a lost bucket is not noticed",
        "cachekit.stores.ledger:Ledger._points",
        "elif place in born:",
        "elif False:",
        LOSSY,
    ),
    Mutant(
        "a lost bucket is born again without a floor",
        f"{SCRIPTS}:put",
        'server.hash_of(root + b":" + place)[b"f"] = text(now)',
        'server.hash_of(root + b":" + place)[b"f"] = b"0"',
        REBORN,
    ),
    Mutant(
        "an invalidation takes the server's time as it is",
        f"{SCRIPTS}:invalidate",
        "point = max(last + 1, now)",
        "point = now",
        CLOCK,
    ),
    Mutant(
        "a new epoch forgets the intents that stand",
        f"{SCRIPTS}:begin_epoch",
        'fresh[b"*"] = fresh[b">"] = text(now + LEASE)',
        "pass",
        CLOCK,
    ),
    Mutant(
        "a waiter takes what may have begun before it came",
        "cachekit.core.flights:Outcome.serves",
        "self.header.read_point > arrival)",
        "self.header.read_point >= arrival)",
        STILL,
    ),
    Mutant(
        "another server is taken for the same",
        "cachekit.stores.ledger:Ledger.greet",
        "if known != name:",
        "if False:",
        RESTORES,
    ),
    Mutant(
        "a server that refuses writes is read",
        "cachekit.stores.ledger:Ledger.__init__",
        'self._probe = pack("PERSIST", self.root)',
        'self._probe = pack("GET", self.root)',
        REFUSALS,
    ),
    Mutant(
        "who saw an outage reads on while an outbox holds what was missed",
        "cachekit.invalidation:catch_up",
        "drained(store.alias)",
        "True",
        SILENCES,
    ),
    Mutant(
        "a write is not tried while the circuit is open",
        "cachekit.stores.redis:RedisStore.do",
        "self._insisting if isinstance(step, TELLING) else self._guard",
        "self._guard",
        CIRCUITS,
    ),
    Mutant(
        "an outer entry keeps its own read point over an inner one that is older",
        "cachekit.core.capture:Capture.take_in",
        "self.read_point = min(self.read_point, read_point)",
        "pass",
        RARE,
    ),
    Mutant(
        "the mirror takes what is newer than the newest it has seen",
        f"{MIRROR}.apply",
        "self.points.update(_moved(event.moved))",
        "self.points.update({n: p for n, p in _moved(event.moved) if p > max(self.points.values(), default=0)})",
        NEAR,
    ),
    Mutant(
        "a gap in the events is overlooked",
        f"{MIRROR}.apply",
        "event.seq != self.seq + 1 or",
        "",
        GAPS,
    ),
    Mutant(
        "a proof holds for ever",
        "cachekit.near:Near.get",
        "now >= mirror.until or",
        "not mirror.until or",
        LATE,
    ),
    Mutant(
        "what was judged once is not judged again",
        "cachekit.near:Near.get",
        "if kept.version != version:",
        "if kept.version < 0:",
        NEAR,
    ),
    Mutant(
        "what this process has written itself shows when it comes back",
        f"{MIRROR}.shows",
        " or name in doubts",
        "",
        NEAR,
    ),
    Mutant(
        "near entries of another epoch are shown",
        f"{MIRROR}.shows",
        "epoch != self.epoch or",
        "",
        NEAR_CLOCK,
    ),
    Mutant(
        "what was checked before the mirror began is shown",
        f"{MIRROR}.shows",
        "checked < self.horizon or",
        "",
        GAPS,
    ),
    Mutant(
        "a strict value is made of tracked ones",
        "cachekit.computing:tracks",
        "return outer is None or not outer.strict",
        "return True",
        MIXED,
    ),
    Mutant(
        "a row that was missed is dated later than the look for it",
        "cachekit.core.plans:_as_found",
        "return steps.Begun(found.epoch, found.last)",
        "return steps.Begun(found.epoch, found.last + 10_000)",
        MANY,
    ),
    Mutant(
        "many that were missed are dated after they were read",
        "cachekit.filling:filled",
        "capture.close()",
        "capture.close(); capture.read_point = store.now()",
        MANY,
    ),
    Mutant(
        "many are asked for together in a transaction that has written or reads a snapshot",
        "cachekit.gathering:_is_unusual",
        "return bool(computing.dirty_tags()) or computing.snapshot() is not None",
        "return False",
        MANY_PAST,
    ),
)
