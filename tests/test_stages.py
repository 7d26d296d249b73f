"""The runner of the suite: a stage that fails, hangs or lacks a program is told from one that passes."""

from __future__ import annotations

import os
import runpy
import time
from pathlib import Path

import pytest

from tests.stages import STAGES, Outcome, Stage, python, report, run

SLEEPER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
"""


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
def test_a_stage_over_its_budget_is_killed_with_its_children(capsys: pytest.CaptureFixture[str], then: str) -> None:
    started = time.monotonic()

    done = run(Stage("slow", 2, python("-c", SLEEPER + then)))

    grandchild = int(capsys.readouterr().out.split()[-1])
    deadline = started + 20
    while alive(grandchild) and time.monotonic() < deadline:
        time.sleep(0.05)
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
