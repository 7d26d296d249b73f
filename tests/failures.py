"""A pytest plugin that writes the names of the tests that failed into a file, for a second look at them."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the file's path."""
    parser.addoption("--failures", type=Path, help="write the names of the tests that failed into this file")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write one name a line; nothing where a file could not even be read, for whose tests nobody can speak."""
    reports = [*terminalreporter.stats.get("failed", ()), *terminalreporter.stats.get("error", ())]
    path = config.getoption("failures")
    if path is None or not all(isinstance(report, pytest.TestReport) for report in reports):
        return
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in dict.fromkeys(report.nodeid for report in reports)))
