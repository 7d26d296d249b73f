"""A child process that serves a loopback port: started, broken and stopped by its process id."""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

# Waits for the end of its input, which is the end of the owner, then removes what the owner left.
GUARD = 'read -r _; kill -CONT "$1"; kill -"$2" "$1"; sleep 1; kill -KILL "$1"; rm -rf "$3"'


DICE = random.SystemRandom()


class Missing(RuntimeError):
    """A program that a test wants is not installed."""


def free_port() -> int:
    """Return a loopback port that nobody listens on, and below those that outgoing connections are given.

    A server that is killed and started again must find its port free. The dice are not those that tests seed.
    """
    while True:
        port = DICE.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Server:
    """One child process with a port and a folder of its own; a context manager."""

    stop_signal = signal.SIGTERM
    guard_signal = "KILL"
    start_seconds = 60.0

    def __init__(self) -> None:
        self.port = 0
        self.folder = Path(tempfile.mkdtemp(prefix="cachekit-test-"))
        self.process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def command(self) -> list[str]:
        """Return the command line that serves `self.port`."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Say whether this very process, not another on the same port, serves."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make what the first start needs."""

    @property
    def user(self) -> str | None:
        """The system user to run as, or None for the present one."""
        return None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self.process is not None, "the server is not running"
        return self.process.pid

    @property
    def log(self) -> str:
        """What the server has printed so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def pids(self) -> list[int]:
        """Return the processes that `pause` and `kill` mean."""
        return [self.pid]

    def start(self) -> Self:
        """Start, again on the same port and data after `kill` or `halt`, and return when it answers."""
        first = not self.port
        if first:
            atexit.register(self.stop)
            self.prepare()
        for attempt in range(5):
            if first:
                self.port = free_port()
            self._spawn()
            if self._wait():
                return self
            self.kill()
            time.sleep(0.1 * attempt)
        raise RuntimeError(f"{self.command()[0]} did not start on port {self.port}:\n{self.log[-2000:]}")

    def kill(self) -> None:
        """Kill with -9, as a crash would; data stay for `start`."""
        self._signal(signal.SIGKILL)
        self._reap(20)

    def halt(self) -> None:
        """End in good order; data stay for `start`."""
        self._signal(signal.SIGCONT)
        if self.process is not None:
            self.process.send_signal(self.stop_signal)
        self._reap(60)

    def restart(self) -> Self:
        """Halt and start: same port, same data folder, another run of the server."""
        self.halt()
        return self.start()

    def pause(self) -> None:
        """Freeze the server: connections are accepted by the kernel, but nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._signal(signal.SIGCONT)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Freeze the server for the length of a `with` block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def stop(self) -> None:
        """End for good and remove the folder; in a forked child of the owner do nothing."""
        if os.getpid() != self._owner:
            return
        atexit.unregister(self.stop)
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn(self) -> None:
        user = self.user
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
                user=user,
                group=pwd.getpwnam(user).pw_gid if user else None,
                extra_groups=[] if user else None,
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", str(self.pid), self.guard_signal, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait(self) -> bool:
        assert self.process is not None
        deadline = time.monotonic() + self.start_seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.answers():
                return True
            time.sleep(0.02)
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _reap(self, seconds: float) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait(60)
        self.process = None
        self._dismiss()

    def _dismiss(self) -> None:
        """End the guard before its input ends, so that it removes nothing."""
        if self._guard is None:
            return
        self._guard.kill()
        self._guard.wait(60)
        _close(self._guard.stdin)
        self._guard = None


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        with contextlib.suppress(BrokenPipeError):
            stream.close()
