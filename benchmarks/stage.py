"""The servers, and the processes of the peers that use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.peers import MODULES, peer
from benchmarks.pins import SERVER, pin
from tests.servers import Postgres, Valkey

DURABLE = ("--fsync=on", "--synchronous_commit=on", "--full_page_writes=on")


class Gone(RuntimeError):
    """A peer's process has ended, or could not do what it was asked."""


class Worker:
    """A peer's process."""

    def __init__(self, name: str, servers: Servers, stack: ExitStack) -> None:
        self.name = name
        self.peer = peer(name)
        self.process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "benchmarks.peers"],
                env=servers.environment(name),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(self.process.terminate)

    def ask(self, do: str, **words: Any) -> Any:
        """Have it do something, and return what it answers."""
        self.tell(do, **words)
        return self.answer()

    def tell(self, do: str, **words: Any) -> None:
        """Have it do something. Raises Gone."""
        assert self.process.stdin is not None
        try:
            print(json.dumps({"do": do, **words}), file=self.process.stdin, flush=True)
        except BrokenPipeError as error:
            raise Gone(f"{self.name} has ended") from error

    def answer(self) -> Any:
        """Return its next answer. Raises Gone."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            assert self.process.stderr is not None
            raise Gone(f"{self.name} ended: {self.process.stderr.read()[-2000:]}")
        found = json.loads(line)
        if "error" in found:
            raise Gone(f"{self.name}: {found['error']}")
        return found["answer"]


class Servers:
    """One Valkey and one PostgreSQL for all, each peer with a database number of its own."""

    def __init__(self, valkey: Valkey, postgres: Postgres) -> None:
        self.valkey = valkey
        self.postgres = postgres

    def environment(self, name: str) -> dict[str, str]:
        """Return what a peer's process is told."""
        return os.environ | {
            "BENCH_PEER": name,
            "BENCH_REDIS_PORT": str(self.valkey.port),
            "BENCH_REDIS_NUMBER": str(list(MODULES).index(name)),
            "BENCH_POSTGRES_PORT": str(self.postgres.port),
        }

    def cpu_us(self) -> float:
        """Return the CPU that Valkey has used so far, in microseconds."""
        lines = dict(line.split(":", 1) for line in self.valkey.say("INFO cpu").splitlines() if ":" in line)
        return 1e6 * (float(lines["used_cpu_sys"]) + float(lines["used_cpu_user"]))


@contextmanager
def servers() -> Iterator[Servers]:
    """Start both, pinned."""
    import psycopg

    with Valkey() as valkey, Postgres(*DURABLE) as postgres:
        pin(SERVER, (*valkey.pids(), *postgres.pids()))
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE bench")
        yield Servers(valkey, postgres)


@contextmanager
def workers(running: Servers, names: Sequence[str]) -> Iterator[list[Worker]]:
    """Start a process for each name."""
    with ExitStack() as stack:
        found = [Worker(name, running, stack) for name in names]
        for worker in found:
            worker.answer()
        yield found


def present() -> tuple[list[str], dict[str, str]]:
    """Return the peers that can be measured here, and why others cannot."""
    absent = {name: reason for name in MODULES if (reason := peer(name).absent())}
    return [name for name in MODULES if name not in absent], absent
