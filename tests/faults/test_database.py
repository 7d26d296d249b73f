"""The database is killed and started again under a process that keeps its connection."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.servers import Missing, Postgres
from tests.servers.process import Server


class Shop:
    """A process that does what it is told."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child

    def hear(self) -> str:
        """Return its next line."""
        assert self.child.stdout is not None
        return self.child.stdout.readline().strip()

    def do(self, line: str) -> str:
        """Tell it something and return its answer."""
        assert self.child.stdin is not None
        self.child.stdin.write(f"{line}\n")
        self.child.stdin.flush()
        return self.hear()


@pytest.fixture
def database() -> Iterator[Postgres]:
    """A PostgreSQL for this test alone; what it has acknowledged survives its being killed."""
    try:
        server = Postgres("--synchronous_commit=on")
    except Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture
def shop(database: Postgres) -> Iterator[Shop]:
    """A process on that server."""
    import psycopg

    with psycopg.connect(database.url, autocommit=True) as link:
        for name in ("cachekit_default", "cachekit_other"):
            link.execute(f"CREATE DATABASE {name}")
    environment = {**os.environ, "CACHEKIT_TEST_POSTGRES_PORT": str(database.port)}
    command = [sys.executable, "-m", "tests.faults.shop"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        shop = Shop(child)
        assert shop.hear() == "ready"
        yield shop
        child.kill()


@pytest.mark.processes
def test_the_database_is_killed_and_comes_back(shop: Shop, database: Server) -> None:
    assert [shop.do("write 1"), shop.do("read"), shop.do("read")] == ["written", "1 computed", "1 hit"]

    database.kill()
    assert shop.do("read") == "1 hit", "pages in the cache need no database"
    assert shop.do("write 2") == "failed"
    assert shop.do("read") == "1 hit", "nothing was written"
    database.start()

    assert [shop.do("write 3"), shop.do("read"), shop.do("read")] == ["written", "3 computed", "3 hit"]

    assert shop.do("write-slowly 4") == "changed"
    database.kill()
    assert shop.do("commit") == "failed"
    database.start()

    assert shop.do("read").split()[0] == "3", "what was not committed is not shown"
    assert [shop.do("write 5"), shop.do("read").split()[0]] == ["written", "5"]
