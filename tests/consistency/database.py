"""A simulated database: versions of rows and slices, row locks, snapshots, COMMITs that get lost on the way back."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

from django.db import IntegrityError, OperationalError

from cachekit.core.capture import current
from cachekit.orm import snapshots, transactions
from tests.consistency.auditor import Auditor
from tests.consistency.hub import SECOND, Hub, Process
from tests.consistency.scenarios import Scenario

ALIAS, REPLICA = "default", "replica"
FAMILIES = ("shop.product", "shop.note", "shop.author")
ROWS = 4
SLICES = 2
STATEMENT = 800


class Boxed:
    """One row of the outbox."""

    def __init__(self, tags: tuple[str, ...], write: Write) -> None:
        self.tags, self.write = tags, write


class Write:
    """What one transaction changes; its number comes with the COMMIT, until then its cells read as -ident."""

    def __init__(self, ident: int) -> None:
        self.ident = ident
        self.number = 0
        self.rows: dict[str, int] = {}
        """Row tags and the slice each moves to."""
        self.cells: dict[str, None] = {}
        self.boxed: list[Boxed] = []
        self.announced = True
        """Whether its intents stood when it committed."""
        self.over = False


class Database:
    """Each cell (a row, a slice, a table, by its tag) has the numbers of the commits that changed it."""

    def __init__(self, hub: Hub, rng: Random, scenario: Scenario, auditor: Auditor) -> None:
        self.hub, self.rng, self.scenario, self.auditor = hub, rng, scenario, auditor
        self.host = Process("database")
        self.number = 0
        self.writes = 0
        self.cells: dict[str, list[int]] = {}
        self.times: list[int] = [hub.now]
        self.slices = {f"{family}#{row}": row % SLICES for family in FAMILIES for row in range(ROWS)}
        self.locks: dict[str, Write] = {}
        self.outbox: list[Boxed] = []

    def version(self, cell: str, snapshot: int | None = None) -> int:
        """Return the last commit that changed a cell, as of a snapshot."""
        numbers = self.cells.get(cell)
        if not numbers:
            return 0
        if snapshot is None:
            return numbers[-1]
        at = bisect_right(numbers, snapshot)
        return numbers[at - 1] if at else 0

    def land(self, write: Write) -> None:
        """Carry out a COMMIT."""
        if write.over:
            return
        self.number += 1
        write.number = self.number
        self.times.append(self.hub.now)
        self.slices.update(write.rows)
        for cell in write.cells:
            self.cells.setdefault(cell, []).append(self.number)
        self.outbox += write.boxed
        self.auditor.note("committed", write.cells, self.number)
        self.end(write)

    def end(self, write: Write) -> None:
        """Release what a transaction has locked."""
        write.over = True
        for row in write.rows:
            self.locks.pop(row, None)

    def replicated(self) -> int:
        """Return the number of the last commit that a replica has: one of several, and not always the same."""
        lag = int(self.rng.random() * self.scenario.lag * 1000)
        return max(bisect_right(self.times, self.hub.now - lag) - 1, 0)


class Connection:
    """One client's connection, as far as `orm.transactions` looks at one; BEGIN and COMMIT are the client's."""

    vendor = "postgresql"
    autocommit = True
    in_atomic_block = False
    closed_in_transaction = False
    transaction_mode = None

    def __init__(self, database: Database, alias: str) -> None:
        self.database, self.alias = database, alias
        self.connection: object = None
        self.run_on_commit: list[Any] = []
        self.atomic_blocks: list[Any] = []
        self.isolation_level = ""
        self.write: Write | None = None
        self.snapshot: int | None = None
        transactions.watch(connection=self)

    def get_autocommit(self) -> bool:
        """Tell whether no transaction is open."""
        return self.write is None and not self.isolation_level

    def is_in_memory_db(self) -> bool:
        """Tell that it is no SQLite."""
        return False

    def begin(self, isolation_level: str = "READ COMMITTED") -> Write:
        """Open a transaction."""
        self.database.writes += 1
        self._start_transaction_under_autocommit()
        self.write = Write(self.database.writes)
        self.isolation_level, self.snapshot = isolation_level, None
        return self.write

    def _start_transaction_under_autocommit(self) -> None:
        """BEGIN, which asks nobody: the snapshot is taken by the first statement."""

    def read(self, cell: str) -> tuple[tuple[str, int]]:
        """Read a cell, as a statement does that is captured where it is compiled."""
        database = self.database
        if (capture := current.get()) is not None:
            snapshots.date(capture, self)  # type: ignore[arg-type]
            capture.depend(cell)
        database.hub.sleep(100 + int(database.rng.random() * STATEMENT))
        seen = self.snapshot
        if seen is None and self.alias == REPLICA:
            seen = database.replicated()
        if self.isolation_level == "REPEATABLE READ" and self.snapshot is None:
            seen = self.snapshot = database.number if seen is None else seen
        if self.write is not None and cell in self.write.cells:
            found = -self.write.ident
        else:
            found = database.version(cell, seen)
        database.hub.sleep(int(database.rng.random() * STATEMENT))
        return ((cell, found),)

    def update(self, row: str, slice_: int) -> bool:
        """Lock a row and move it to a slice; False where somebody else has it."""
        database, write = self.database, self.write
        assert write is not None
        family = row.partition("#")[0]
        if database.locks.setdefault(row, write) is not write:
            return False
        before = write.rows.get(row, database.slices[row])
        tags = [family, row, f"{family}?shelf={before}", f"{family}?shelf={slice_}"]

        def execute() -> None:
            database.hub.sleep(100 + int(database.rng.random() * STATEMENT))
            write.rows[row] = slice_
            write.cells.update(dict.fromkeys(tags))

        transactions.statement(self, tags, execute)  # type: ignore[arg-type]
        return True

    def _commit(self) -> None:
        """COMMIT: refused, or without an answer, at times."""
        database, write = self.database, self.write
        assert write is not None
        rng, scenario, hub = database.rng, database.scenario, database.hub
        self.write, self.isolation_level = None, ""
        dice = rng.random()
        if dice < scenario.refused:
            database.end(write)
            hub.sleep(STATEMENT)
            raise IntegrityError("refused")
        if dice < scenario.refused + scenario.unanswered:
            late = int(rng.random() ** 4 * 9 * SECOND)
            arrives = (lambda: database.land(write)) if rng.random() < 0.8 else (lambda: database.end(write))
            hub.spawn(database.host, arrives, late)
            hub.sleep(STATEMENT)
            raise OperationalError("server closed the connection unexpectedly")
        hub.spawn(database.host, lambda: database.land(write), 100 + int(rng.random() * STATEMENT))
        hub.sleep(1000 + int(rng.random() * 2 * STATEMENT))

    def _rollback(self) -> None:
        """ROLLBACK."""
        if self.write is not None:
            self.database.end(self.write)
        self.write, self.isolation_level, self.snapshot = None, "", None

    def _set_autocommit(self, autocommit: bool) -> None:
        """Do nothing: nobody here turns autocommit off."""

    def close(self) -> None:
        """Close."""
        self.vanish()

    def vanish(self) -> None:
        """What the server does when a client is gone: roll back, but for a COMMIT under way."""
        if self.write is not None:
            self.database.end(self.write)
            self.write = None


def outbox_of(database: Database, writing: Callable[[], Write]) -> Any:
    """Return what `orm.transactions` calls `outbox`, kept in this database."""

    def write(connection: Connection, tags: Any, aliases: Any) -> bool:
        mine = writing()
        mine.announced = False
        mine.boxed.append(Boxed(tuple(tags), mine))
        return True

    def write_alone(using: str, tags: Any, aliases: Any) -> bool:
        mine = writing()
        row = Boxed(tuple(tags), mine)
        database.hub.sleep(STATEMENT)
        mine.boxed.append(row)
        database.outbox.append(row)
        return True

    return SimpleNamespace(write=write, write_alone=write_alone)
