"""A client that is not Django: plain SQL, one statement a transaction, past every hook but the triggers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings

from tests.consistency.checker.logs import Log
from tests.consistency.checker.world import ITEMS, now

PAUSE_SECONDS = 0.1


class Outsider:
    """Updates rows as psql would."""

    def __init__(self, folder: Path, name: str, seed: int) -> None:
        self.log = Log(folder, name)
        self.random = random.Random(seed)

    def run(self, ended: Callable[[], bool]) -> None:
        """Write until it is over, on one connection after the other."""
        while not ended():
            try:
                with psycopg.connect(**self.database(), autocommit=True) as link:
                    while not ended():
                        self.write(link)
                        time.sleep(self.random.expovariate(1 / PAUSE_SECONDS))
            except psycopg.Error:
                time.sleep(0.05)

    def database(self) -> dict[str, Any]:
        """Return where the database is."""
        found = settings.DATABASES["default"]
        return {"host": found["HOST"], "port": found["PORT"], "user": found["USER"], "dbname": found["NAME"]}

    def write(self, link: psycopg.Connection) -> None:
        """Write one row and note its stamp in the journal."""
        begin, item, stamp = now(), self.random.randint(1, ITEMS), 0
        try:
            with link.transaction():
                row = link.execute("SELECT shelf FROM checker_item WHERE id = %s FOR UPDATE", [item]).fetchone()
                if row is None:
                    return
                allocated = link.execute("SELECT nextval('checker_stamps')").fetchone()
                assert allocated is not None
                stamp = allocated[0]
                link.execute("UPDATE checker_item SET stamp = %s WHERE id = %s", [stamp, item])
                link.execute("INSERT INTO checker_journal VALUES (%s)", [stamp])
                self.log.line("try", begin, stamp, {item: row[0]})
                sent = now()
        except psycopg.Error:
            self.log.line("lost", now(), stamp, 0, 0)
            raise
        done = now()
        self.log.line("ack", done, stamp, sent, done)
