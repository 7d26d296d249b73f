"""Run every check and every part of the suite, each within a time budget, and say at the end how it went."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests import bytecode
from tests.servers import Missing, Postgres

BIN = Path(sys.executable).parent
CACHE = Path(".cache")
CLOSING = CACHE / "closing-lines.txt"
APART = "not processes and not browser"
CHROMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SEED = random.randrange(2**32)
"""Of this run: what a test draws at random, its second look draws again."""
TESTS_FAILED = 1
"""How pytest exits when it ran and tests failed; other codes are its own trouble."""
MOST_LOOKED_AT = 3
"""More failed tests than these are no matter of a stalled machine."""
MAC_CHROME = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def program(name: str, *words: str) -> list[str]:
    """Return the command line of a tool in this virtual environment."""
    return [str(BIN / name), *words]


def python(*words: str) -> list[str]:
    """Return a command line for this interpreter."""
    return [sys.executable, *words]


def no_browser() -> str:
    """Return what is missing for the browser tests, or nothing."""
    found = any(map(shutil.which, CHROMES)) or MAC_CHROME.exists()
    return "" if found else "Chromium is not installed"


def no_postgres() -> str:
    """Return what is missing for the tests on PostgreSQL, or nothing."""
    try:
        Postgres.find()
    except Missing as missing:
        return str(missing)
    return ""


@dataclass(frozen=True)
class Stage:
    """One command, the seconds it may take, and what must be there for it."""

    name: str
    budget: int
    command: list[str]
    kind: str = "checks"
    env: dict[str, str] = field(default_factory=dict)
    lacks: Callable[[], str] = str

    @property
    def failures(self) -> Path:
        """Where pytest leaves the names of the tests that failed."""
        return CACHE / f"failed-{self.name}.txt"


def pytest(*words: str) -> list[str]:
    """Return pytest's command line."""
    return python("-m", "pytest", "-q", f"--randomly-seed={SEED}", *words)


def suite(name: str, budget: int, *words: str, lacks: Callable[[], str] = str, **env: str) -> Stage:
    """Return a stage that runs pytest."""
    stage = Stage(name, budget, [], "tests", env, lacks)
    return replace(stage, command=pytest("-p", "tests.failures", f"--failures={stage.failures}", *words))


STAGES = [
    Stage("ruff", 60, program("ruff", "check", ".")),
    Stage("ruff-format", 60, program("ruff", "format", "--check", ".")),
    Stage("djlint", 120, program("djlint", "--lint", "--quiet", "cachekit", "demo_site", "templates")),
    Stage("mypy", 600, program("mypy", "cachekit", "demo_site", "tests", "benchmarks", "docs")),
    Stage("floors", 60, program("lint-imports", "--no-cache")),
    Stage("django-check", 60, python("manage.py", "check", "--fail-level", "WARNING")),
    Stage("migrations", 60, python("manage.py", "makemigrations", "--check", "--dry-run")),
    suite("pytest", 1200, "-n", "2", "-m", APART),
    suite("processes", 900, "-n", "2", "--dist", "loadfile", "-m", "processes"),
    suite("browser", 600, "-m", "browser and not processes", lacks=no_browser),
    suite(
        "postgres",
        1200,
        *("-n", "2", "-m", f"(django_db or postgres) and {APART}"),
        lacks=no_postgres,
        CACHEKIT_TEST_DATABASE="postgres",
    ),
]


@dataclass
class Outcome:
    """How one stage ended."""

    stage: Stage
    verdict: str
    seconds: float = 0
    closing: str = ""
    again: tuple[str, ...] = ()
    """The few tests that failed, which deserve a second look."""


def run(stage: Stage) -> Outcome:
    """Run a stage, showing its output as it comes; end its whole process group when the budget is spent."""
    if reason := stage.lacks():
        verdict = "FAILED" if os.environ.get("CI") else "skipped"
        return Outcome(stage, verdict, closing=reason)

    print(f"\n=== {stage.name}: {' '.join(stage.command)}", flush=True)
    stage.failures.unlink(missing_ok=True)
    started = time.monotonic()
    env = {**os.environ, **stage.env}
    bytecode.keep(env)
    child = subprocess.Popen(
        stage.command,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    overrun = threading.Event()

    def stop() -> None:
        overrun.set()
        end(child)

    alarm = threading.Timer(stage.budget, stop)
    alarm.start()
    try:
        closing = show(child)
        code = child.wait()
    finally:
        alarm.cancel()
        end(child)
        if child.stdout:
            child.stdout.close()
    seconds = time.monotonic() - started
    if overrun.is_set():
        return Outcome(stage, "FAILED", seconds, f"took longer than its {stage.budget} s")
    few = failed_tests(stage) if code == TESTS_FAILED else ()
    return Outcome(stage, "FAILED" if code else "passed", seconds, closing, few)


def failed_tests(stage: Stage) -> tuple[str, ...]:
    """Return the names of the tests that failed, unless they are many."""
    names = stage.failures.read_text().splitlines() if stage.failures.exists() else []
    return tuple(names) if len(names) <= MOST_LOOKED_AT else ()


def look_again(done: Outcome) -> Outcome:
    """Run the few tests that failed once more, alone; where all of them pass, the stage is unsteady, not failed."""
    stage = done.stage
    alone = run(replace(stage, name=f"{stage.name}, again", command=pytest(*done.again)))
    passed = alone.verdict == "passed"
    return replace(done, verdict="UNSTEADY" if passed else "FAILED", seconds=done.seconds + alone.seconds)


def show(child: subprocess.Popen[str]) -> str:
    """Print what the child prints; return the last line."""
    last = ""
    for line in child.stdout or ():
        print(line, end="", flush=True)
        last = line.strip() or last
    return re.sub(r"\x1b\[[0-9;]*m", "", last)


def end(child: subprocess.Popen[str]) -> None:
    """Kill what is left of the child and of the processes it started: these hold its output open."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def report(outcomes: list[Outcome]) -> str:
    """Return the unsteady tests, then one line a stage; the last lines are those of pytest."""
    unsteady = [f"UNSTEADY: {name}" for done in outcomes if done.verdict == "UNSTEADY" for name in done.again]
    lines = [f"{done.verdict:9}{done.stage.name:14}{done.seconds:6.0f} s  {done.closing[:110]}" for done in outcomes]
    return "\n".join(unsteady + lines)


def main() -> int:
    """Run the stages asked for; all of them even when one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="a stage's name, or its kind: checks, tests")
    parser.add_argument("--once", action="store_true", help="fail at once; also by CACHEKIT_TEST_ONCE=1")
    asked = parser.parse_args()
    only, once = asked.only, asked.once or bool(os.environ.get("CACHEKIT_TEST_ONCE"))
    chosen = [stage for stage in STAGES if only in {None, stage.name, stage.kind}]
    if not chosen:
        parser.error(f"no such stage: {only}; there are {', '.join(stage.name for stage in STAGES)}")

    outcomes = [run(stage) for stage in chosen]
    if not once:
        outcomes = [look_again(done) if done.again else done for done in outcomes]

    text = report(outcomes)
    CLOSING.parent.mkdir(exist_ok=True)
    CLOSING.write_text(text + "\n")
    print("\n" + text, flush=True)
    return int(any(done.verdict == "FAILED" for done in outcomes))


if __name__ == "__main__":
    sys.exit(main())
