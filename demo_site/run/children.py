"""Child processes: started in groups of their own, watched, written down, stopped by their id."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PROC = Path("/proc")
PATIENCE = 10.0
"""Seconds between asking a process to stop and killing it."""


class Trouble(Exception):
    """The demo cannot go on; the message says why and what to do."""


class Children:
    """The processes of one demo, and the file that lets the next start clean up after a killed one.

    Every command line holds the path of the demo's folder: that is how a process is known to be ours, should its id
    have been given to another since.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "running.json"
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a process whose output goes to `log/NAME.log`."""
        if not any(str(self.folder) in word for word in command):
            raise ValueError(f"The command of {name} must name {self.folder}, so that it can be recognised: {command}")
        with self.log(name).open("wb") as log:
            child = subprocess.Popen(  # noqa: S603 - our own commands
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running[name] = child
        self._write()
        return child

    def log(self, name: str) -> Path:
        """Return the file that a process writes to."""
        path = self.folder / "log" / f"{name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def check(self) -> None:
        """Raise Trouble if a process has ended by itself."""
        for name, child in self.running.items():
            if child.poll() is not None:
                raise Trouble(self.story(name, f"{name} ended with status {child.returncode}"))

    def story(self, name: str, what: str) -> str:
        """Return what happened with the end of the log that tells why."""
        tail = self.log(name).read_text(errors="replace").splitlines()[-15:]
        return f"{what}. The end of {self.log(name)}:\n  " + "\n  ".join(tail)

    def stop(self) -> None:
        """Stop every process, the last started first; the ones that do not listen are killed."""
        for name in reversed(list(self.running)):
            self.stop_one(name)
        self.record.unlink(missing_ok=True)

    def stop_one(self, name: str) -> None:
        """Stop one process and what it has started."""
        child = self.running.pop(name)
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for pid in members({child.pid}, str(self.folder)):
            _signal(pid, signal.SIGKILL)

    def clean_up(self) -> int:
        """Stop what a killed run has left behind and return how many processes that was. Raises Trouble if it lives."""
        try:
            noted = json.loads(self.record.read_text())
            owner, groups = int(noted["owner"]), {int(pid) for pid in noted["children"]}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0
        if owner != os.getpid() and "demo_site.run" in command_of(owner):
            raise Trouble(f"it is running already, as process {owner}. Stop that one first: kill {owner}")
        left = members(groups, str(self.folder))
        for pid in left:
            _signal(pid, signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        while members(groups, str(self.folder)) and time.monotonic() < end:
            time.sleep(0.1)
        for pid in members(groups, str(self.folder)):
            _signal(pid, signal.SIGKILL)
        self.record.unlink(missing_ok=True)
        return len(left)

    def _write(self) -> None:
        draft = self.record.with_suffix(".new")
        draft.write_text(json.dumps({"owner": os.getpid(), "children": [one.pid for one in self.running.values()]}))
        draft.replace(self.record)


def members(groups: set[int], mark: str) -> list[int]:
    """Return the ids of the living processes in these process groups whose command line holds `mark`."""
    return [pid for pid, command in commands().items() if mark in command and _group(pid) in groups]


def command_of(pid: int) -> str:
    """Return a process's command line, or nothing."""
    return commands().get(pid, "")


def commands() -> dict[int, str]:
    """Return the command line of every process by its id; ended ones have none."""
    return commands_in(PROC) if (PROC / "self" / "cmdline").exists() else commands_by_ps()


def commands_in(proc: Path) -> dict[int, str]:
    """Read command lines where Linux shows them: a small system has no ps."""
    found = {}
    for path in proc.glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found[int(path.parent.name)] = path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def commands_by_ps() -> dict[int, str]:
    """Ask ps for command lines, as macOS wants to be asked: one -o for each column."""
    words = ["ps", "-A", "-ww", "-o", "pid=", "-o", "command="]
    told = subprocess.run(words, capture_output=True, text=True, errors="replace", check=True).stdout  # noqa: S603
    pairs = (line.strip().partition(" ") for line in told.splitlines())
    return {int(pid): command.strip() for pid, _, command in pairs}


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
