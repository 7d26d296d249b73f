"""The processes of the project: a server for cache and broker, workers, beat, and those who count."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from redis import Redis

from tests.servers import Server, Valkey

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0


def until(true: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Return the first true answer; fail after some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


class CeleryProcess(Server):
    """`celery worker` or `celery beat`, ready when its log says so."""

    def __init__(self, env: dict[str, str], sign: str, *words: str) -> None:
        super().__init__()
        self.env = env
        self.sign = sign
        self.words = words
        self._signs = 0

    def command(self) -> list[str]:
        celery = [sys.executable, "-m", "celery", "-A", "tests.celery_processes.celery_app", *self.words, "-l", "INFO"]
        return ["env", *(f"{name}={value}" for name, value in self.env.items()), *celery]

    def start(self) -> Self:
        """Start, also again after `kill`."""
        self._signs = self.log.count(self.sign)
        return super().start()

    def answers(self) -> bool:
        return self.log.count(self.sign) > self._signs

    def pids(self) -> list[int]:
        """Return the process and its pool, which share a process group."""
        table = subprocess.run(["ps", "-A", "-o", "pid=,pgid="], check=True, capture_output=True, text=True).stdout
        rows = [tuple(map(int, line.split())) for line in table.splitlines()]
        return [pid for pid, group in rows if group == self.pid]


class Fleet:
    """One project with its servers; a context manager."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.valkey = Valkey()
        self.extra = env
        self.processes: list[Server] = []

    @property
    def env(self) -> dict[str, str]:
        """What tells a process which project it works for."""
        return {
            "DJANGO_SETTINGS_MODULE": "tests.celery_processes.settings",
            "PYTHONPATH": str(ROOT),
            "FLEET_REDIS_URL": f"redis://127.0.0.1:{self.valkey.port}",
            "FLEET_FOLDER": str(self.folder),
            **self.extra,
        }

    def __enter__(self) -> Self:
        self.valkey.start()
        self.client = Redis(port=self.valkey.port)
        self.work("prepare")
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.stop()
        self.client.close()
        self.valkey.stop()

    def worker(self, *words: str) -> CeleryProcess:
        """Return a worker that has started."""
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        return self._started("ready.", "worker", *quiet, *words)

    def beat(self, *words: str) -> CeleryProcess:
        """Return a beat that has started."""
        return self._started("beat: Starting", "beat", *words)

    def work(self, task: str) -> Any:
        """Have something done in a process of the project, return what it prints."""
        process = self.start_work(task)
        printed, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        return json.loads(printed) if printed else None

    def start_work(self, task: str) -> subprocess.Popen[str]:
        """Start a process of the project; it ends when its input does."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.celery_processes.work", task],
            env={**os.environ, **self.env},
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def runs(self) -> dict[str, tuple[float, str, str]]:
        """Return start, result and error of each warmer's last run, as the server has them."""
        kept = self.client.hvals(_key("warm:runs"))
        return {name: (started, result, error) for name, started, _, result, error in map(json.loads, kept)}

    def waiting(self) -> int:
        """Return how many keys of counters there are on the server: pending ones and batches."""
        return sum(1 for _ in self.client.scan_iter(match=_key("wb:*"))) - self.client.exists(_key("wb:names"))

    def kill_in_flush(self, point: str) -> None:
        """Kill with -9 the process that passes a point of a flush next."""
        (self.folder / "stop-at").write_text(point)
        stopped = self.folder / "stopped"
        until(stopped.exists, f"a flush passes '{point}'")
        pid = int(stopped.read_text())
        stopped.unlink()
        os.kill(pid, signal.SIGKILL)

    def _started(self, sign: str, *words: str) -> CeleryProcess:
        process = CeleryProcess(self.env, sign, *words)
        self.processes.append(process)
        return process.start()


def _key(name: str) -> str:
    return f"{{fleet:ck}}:{name}"
