"""A process forks with its connections open: parent and child never read each other's answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.processes
def test_fork_after_connect(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.faults.forking", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)

    assert done.stdout.splitlines() == ["0 forked", "0 multiprocessed"], done.stderr
