"""A process that writes: random transactions with savepoints and rollbacks, each logged before and after its COMMIT."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from django.db import Error, connection, transaction

from tests.consistency.checker.clock import clock
from tests.consistency.checker.doors import Change, Doors
from tests.consistency.checker.logs import Log
from tests.consistency.checker.models import Item
from tests.consistency.checker.operations import OPERATIONS
from tests.consistency.checker.world import ITEMS, LABELS, ROW, now

PAUSE_SECONDS = 0.04
"""The mean pause between transactions."""


class GoneBackError(Exception):
    """Ends a transaction or a savepoint that is not to be committed."""


def go_back() -> None:
    """Roll back the block that this stands in. Raises GoneBackError."""
    raise GoneBackError


class Writer:
    """Writes at random until told to end."""

    def __init__(self, doors: Doors, folder: Path, name: str, seed: int) -> None:
        self.doors = doors
        self.log = Log(folder, name)
        self.random = random.Random(seed)
        random.seed(seed)

    def run(self, ended: Callable[[], bool]) -> None:
        """Write until it is over."""
        while not ended():
            self.write()
            time.sleep(min(self.random.expovariate(1 / PAUSE_SECONDS), 0.3))

    def write(self) -> None:
        """Carry out one transaction and log how it ended."""
        begin, stamp = now(), 0
        clock.sent = 0
        try:
            with transaction.atomic():
                items = self.locked()
                stamp, spare = stamps()  # under the locks: a later stamp is a later write
                touched = self.transact(items, stamp, spare)
                if not touched or self.random.random() < 0.08:
                    go_back()
                journal(stamp)
                self.log.line("try", begin, stamp, touched)
            acknowledged = now()
        except GoneBackError:
            return
        except Exception as error:
            self.log.line("lost", now(), stamp, clock.sent, clock.returned)
            self.log.line("error", now(), "write", type(error).__name__, str(error)[:200], isinstance(error, Error))
            connection.close()
            time.sleep(0.05)
        else:
            self.log.line("ack", acknowledged, stamp, clock.sent, clock.returned)

    def locked(self) -> list[Item]:
        """Lock one to three rows, in the order of their keys."""
        wanted = {int(self.random.random() ** 1.5 * ITEMS) + 1 for _ in range(self.random.choice((1, 1, 2, 3)))}
        return list(Item.objects.select_for_update().filter(pk__in=wanted).order_by("pk"))

    def transact(self, items: list[Item], stamp: int, spare: int) -> dict[int, int]:
        """Write some rows; return the keys that changed, with the shelf where each then stands."""
        touched: dict[int, int] = {}
        for item in items:
            if self.random.random() < 0.15:
                self.savepoint(item, spare)
                item.refresh_from_db()
            touched.update(self.operate(item, stamp))
            time.sleep(self.random.choice((0, 0, 0, 0.002, 0.01)))
        if touched and self.random.random() < 0.2:
            self.own_read(touched, stamp)
        return touched

    def operate(self, item: Item, stamp: int) -> dict[int, int]:
        """Carry out one operation, with what the library wants done beside it."""
        name = self.random.choice(sorted(OPERATIONS))
        pk, before = item.pk, item.shelf
        keys = OPERATIONS[name](item, stamp)
        self.doors.wrote([Change(name, pk, before, item.shelf)])
        return dict.fromkeys(keys, item.shelf)

    def savepoint(self, item: Item, spare: int) -> None:
        """Write in a savepoint and go back behind it: nobody may ever see this stamp."""
        try:
            with transaction.atomic():
                self.operate(item, spare)
                self.doors.read(ROW, item.pk - 1)
                go_back()
        except GoneBackError:
            pass

    def own_read(self, touched: dict[int, int], stamp: int) -> None:
        """Read what this transaction has written."""
        key = self.random.choice(sorted(touched))
        if key >= LABELS:
            return
        shown = dict(self.doors.read(ROW, key - 1))
        if shown.get(key) != stamp:
            self.log.line("own", now(), key, stamp, shown.get(key, 0))


def stamps() -> tuple[int, int]:
    """Take two stamps that nobody else has, past Django's cursor: no library sees this."""
    found = _plain("SELECT nextval('checker_stamps'), nextval('checker_stamps')")
    assert found is not None
    return int(found[0]), int(found[1])


def journal(stamp: int) -> None:
    """Note the stamp in this transaction: whoever dies, the database knows afterwards whether it landed."""
    _plain("INSERT INTO checker_journal VALUES (%s) RETURNING stamp", stamp)


def _plain(sql: str, *values: int) -> tuple[int, ...] | None:
    connection.ensure_connection()
    with connection.connection.cursor() as cursor:
        cursor.execute(sql, values)
        row: tuple[int, ...] | None = cursor.fetchone()
        return row
