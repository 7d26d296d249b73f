"""The cache server of one subject, with what faults need: persistence, a set clock, a replica that takes over."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tests.servers import RedisServer, Valkey

PRELOADS = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1")


class CacheServer(Valkey):
    """A Valkey (or, by `using`, another server) that keeps its port whatever becomes of it."""

    def __init__(self, program: str = "") -> None:
        super().__init__("--enable-protected-configs", "yes", "--repl-diskless-sync-delay", "0")
        self.binary = program or self.binary
        self.extra: list[str] = []
        self.preload = ""

    @classmethod
    def named(cls, name: str) -> CacheServer:
        """Return a server by the name of its program: valkey or redis."""
        return cls(RedisServer.find() if name == "redis" else "")

    def command(self) -> list[str]:
        words = [*super().command(), *self.extra]
        if not self.preload:
            return words
        clock = f"FAKETIME_TIMESTAMP_FILE={self.folder / 'clock'}"
        settings = ("FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", clock)
        return ["/usr/bin/env", f"LD_PRELOAD={self.preload}", *settings, *words]

    def set_clock(self, seconds: float) -> None:
        """Set the clock of a server that runs under `preload` so far from the machine's."""
        (self.folder / "clock").write_text(f"{seconds:+.0f}\n")

    def do(self, line: str) -> str:
        """Send a command that must succeed."""
        answer = self.say(line)
        if not answer or answer.startswith("-"):
            raise RuntimeError(f"the cache server answered {answer.strip() or 'nothing'} to {line}")
        return answer

    def until(self, line: str, wanted: str, seconds: float = 10) -> None:
        """Wait until the answer to a command contains a text."""
        wait_for(lambda: wanted in self.say(line), f"{wanted} in {line}", seconds)

    def forget(self) -> None:
        """Remove what the next start would load."""
        for path in self.folder.glob("*.rdb"):
            path.unlink()

    def replica(self) -> CacheServer:
        """Start a replica and return it when it has everything."""
        other = CacheServer(self.binary)
        other.start()
        other.do(f"REPLICAOF 127.0.0.1 {self.port}")
        other.until("INFO replication", "master_link_status:up")
        return other

    def become(self, other: CacheServer) -> None:
        """Take another server's process for this one, on this one's port."""
        self.kill()
        other.do(f"CONFIG SET port {self.port}")
        other.port = self.port
        self.process, other.process = other.process, None
        self._guard, other._guard = other._guard, None
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = other.folder

    def parts_of_log(self) -> list[Path]:
        """Return the append-only file's growing part."""
        return sorted(self.folder.glob("appendonlydir/*.incr.aof"))


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    """Wait until something is so. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)


def preload() -> str:
    """Return the path of libfaketime, or nothing where it is not installed."""
    for pattern in PRELOADS:
        for path in sorted(Path("/").glob(pattern[1:])):
            return str(path)
    return ""
