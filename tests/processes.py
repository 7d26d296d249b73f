"""Python processes of their own, spoken to line by line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def process(code: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process of its own, on this test's servers."""
    command = [sys.executable, "-W", "error", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def line_of(child: subprocess.Popen[str]) -> str:
    """Return the next line that it prints."""
    assert child.stdout is not None
    return child.stdout.readline().strip()


def go_on(child: subprocess.Popen[str]) -> None:
    """End its `input()`."""
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
