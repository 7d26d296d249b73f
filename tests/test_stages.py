"""The runner of the suite: a stage that fails, hangs or lacks a program is told from one that passes."""

from __future__ import annotations

import os
import runpy
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import stages
from tests.stages import STAGES, Outcome, Stage, python, report, run, suite

SLEEPER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
open(sys.argv[1], "x").close()
"""

STUMBLES = """
import random
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(NUMBER))
def test_stumbles(number):
    draws = Path(f"draws-{number}")
    known = draws.exists()
    draws.open("a").write(f"{random.random()} ")
    assert known

def test_stands():
    pass
"""
FAILS = "def test_fails():\n    assert False"
UNREADABLE = "import nothing_of_this_name"


@pytest.fixture
def closing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Write a file of tests, run it as the only stage, and return the exit code and the closing lines."""
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    monkeypatch.delenv("CACHEKIT_TEST_ONCE", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stages, "STAGES", [suite("small", 60, ".")])

    def close(code: str, *words: str, unreadable: str = "") -> tuple[int, str]:
        Path("test_small.py").write_text(code)
        if unreadable:
            Path("test_unreadable.py").write_text(unreadable)
        monkeypatch.setattr(sys, "argv", ["stages", *words])
        return stages.main(), stages.CLOSING.read_text()

    return close


def alive(pid: int) -> bool:
    """Say whether a process runs; a dead one that nobody has reaped yet does not."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize(("code", "verdict"), [("print('fine')", "passed"), ("print('fine'); exit(3)", "FAILED")])
def test_a_stage_passes_by_its_exit_code(code: str, verdict: str) -> None:
    done = run(Stage("one", 30, python("-c", code)))

    assert (done.verdict, done.closing) == (verdict, "fine")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize("then", ["time.sleep(600)", ""])
def test_a_stage_over_its_budget_is_killed_with_its_children(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, then: str
) -> None:
    told = tmp_path / "pid"
    budgets: list[float] = []

    class Alarm(threading.Timer):
        """Rings as soon as the child has started another, however long a busy machine takes to."""

        def run(self) -> None:
            budgets.append(self.interval)
            while not told.exists() and not self.finished.wait(0.02):
                pass
            self.function()

    monkeypatch.setattr(threading, "Timer", Alarm)

    done = run(Stage("slow", 2, python("-c", SLEEPER + then, str(told))))

    grandchild = int(capsys.readouterr().out.split()[-1])
    deadline = time.monotonic() + 20
    while alive(grandchild) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert budgets == [2]
    assert done.verdict == "FAILED"
    assert "took longer than its 2 s" in done.closing
    assert not alive(grandchild)


@pytest.mark.parametrize(("ci", "verdict"), [("", "skipped"), ("true", "FAILED")])
def test_a_missing_program_skips_on_a_desk_and_fails_on_a_build_machine(
    monkeypatch: pytest.MonkeyPatch, ci: str, verdict: str
) -> None:
    monkeypatch.setenv("CI", ci)

    done = run(Stage("picky", 30, python("-c", ""), lacks=lambda: "Netscape is not installed"))

    assert (done.verdict, done.closing) == (verdict, "Netscape is not installed")


def test_the_report_has_one_line_a_stage_and_ends_with_pytest() -> None:
    lines = report([Outcome(stage, "passed", 1.0, "3 passed") for stage in STAGES]).splitlines()

    assert len(lines) == len(STAGES)
    assert STAGES[-1].kind == "tests"
    assert lines[-1].endswith("3 passed")


def test_the_newest_pip_is_a_release() -> None:
    bootstrap = runpy.run_path(str(Path(__file__).parent.parent / ".ci" / "bootstrap.py"))
    names = ["pip-9.0.3-py2.py3-none-any.whl", "pip-26.3-py3-none-any.whl", "pip-27.0b1-py3-none-any.whl"]

    assert max(names, key=bootstrap["release"]) == "pip-26.3-py3-none-any.whl"


def test_what_passes_the_second_look_is_unsteady(closing: Callable[..., tuple[int, str]]) -> None:
    code, lines = closing(STUMBLES.replace("NUMBER", "1"))

    first, second = Path("draws-0").read_text().split()
    assert code == 0
    assert lines.splitlines()[0] == "UNSTEADY: test_small.py::test_stumbles[0]"
    assert lines.splitlines()[1].startswith("UNSTEADY small")
    assert "1 failed, 1 passed" in lines
    assert first == second, "what is drawn at random is drawn again"


def test_what_fails_again_has_failed(closing: Callable[..., tuple[int, str]]) -> None:
    code, lines = closing(f"{STUMBLES.replace('NUMBER', '1')}\n{FAILS}")

    assert (code, lines.split()[:2]) == (1, ["FAILED", "small"])
    assert "2 failed, 1 passed" in lines
    assert len(Path("draws-0").read_text().split()) == 2


@pytest.mark.parametrize(("number", "words"), [("4", []), ("1", ["--once"])], ids=["many", "once"])
def test_many_failures_get_no_second_look_nor_those_of_who_wants_none(
    closing: Callable[..., tuple[int, str]], number: str, words: list[str]
) -> None:
    code, lines = closing(STUMBLES.replace("NUMBER", number), *words)

    assert (code, lines.split()[:2]) == (1, ["FAILED", "small"])
    assert len(Path("draws-0").read_text().split()) == 1


def test_a_file_that_cannot_be_read_gets_no_second_look(closing: Callable[..., tuple[int, str]]) -> None:
    code, lines = closing(STUMBLES.replace("NUMBER", "1"), unreadable=UNREADABLE)

    assert (code, lines.split()[:2]) == (1, ["FAILED", "small"])
