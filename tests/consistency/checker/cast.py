"""The processes of a run: started, killed and replaced by their ids."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from tests.consistency.checker.world import now

WORKER = "tests.consistency.checker.worker"
END_SECONDS = 60


class Cast:
    """Who reads, writes and relays in one run, each with a log in the run's folder."""

    def __init__(self, folder: Path, environment: dict[str, str], rng: random.Random) -> None:
        self.folder = folder
        self.environment = {**os.environ, **environment, "DJANGO_SETTINGS_MODULE": "tests.consistency.checker.settings"}
        self.random = rng
        self.alive: dict[str, list[tuple[str, subprocess.Popen[bytes]]]] = {}
        self.deaths: dict[str, int] = {}
        self.started = 0

    def carry_out(self, role: str) -> None:
        """Run a process to its end. Raises CalledProcessError."""
        subprocess.run([sys.executable, "-m", WORKER, role], env=self.environment, check=True, input=b"")

    def start(self, role: str) -> None:
        """Start a process of a role."""
        self.started += 1
        name = f"{role}{self.started}"
        words = [sys.executable, "-m", WORKER, role, name, "--seed", str(self.random.randrange(1 << 30))]
        with (self.folder / f"{name}.output").open("wb") as output:
            process = subprocess.Popen(
                words, env=self.environment, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
            )
        self.alive.setdefault(role, []).append((name, process))

    def has(self, role: str) -> bool:
        """Tell whether there is a process of a role."""
        return bool(self.alive.get(role))

    def kill(self, role: str) -> None:
        """Kill a process of a role with -9 and start another."""
        chosen = self.random.randrange(len(self.alive[role]))
        name, process = self.alive[role].pop(chosen)
        _bury(process)
        self.deaths[name] = now()
        self.start(role)

    def signal(self, role: str, number: int) -> None:
        """Send a signal to a process of a role."""
        self.random.choice(self.alive[role])[1].send_signal(number)

    def end(self, role: str) -> None:
        """Have every process of a role come to its end. Raises RuntimeError where one failed."""
        for _, process in self.alive.get(role, []):
            process.send_signal(signal.SIGTERM)
        while self.has(role):
            name, process = self.alive[role].pop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
            code = _bury(process)
            young = code == -signal.SIGTERM and role != "reader"  # it had only just been started
            if code and not young:
                raise RuntimeError(f"{name} ended with {code}: {self.output(name)}")

    def output(self, name: str) -> str:
        """Return the end of what a process printed."""
        return (self.folder / f"{name}.output").read_text(errors="replace")[-2000:]

    def check(self) -> None:
        """Raise RuntimeError if a process has ended by itself."""
        for found in self.alive.values():
            for name, process in found:
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended with {process.returncode}: {self.output(name)}")

    def __enter__(self) -> Cast:
        return self

    def __exit__(self, *_: object) -> None:
        for found in self.alive.values():
            for _name, process in found:
                _bury(process)


def _bury(process: subprocess.Popen[bytes]) -> int:
    """Kill a process that has not ended by itself; return how it ended."""
    process.kill()
    code = process.wait()
    assert process.stdin is not None
    process.stdin.close()
    return code
