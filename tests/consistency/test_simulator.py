"""Four seeds of each of the simulator's scenarios."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.consistency.running import described, simulate
from tests.consistency.scenarios import PROMISED, SCENARIOS

READS = 30_000
"""At full size a million a seed: `python -m tests.consistency.simulator --reads 1000000 --seeds 20`."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("name", PROMISED)
def test_nothing_stale_beyond_what_is_documented(name: str, seed: int) -> None:
    scenario = SCENARIOS[name]

    report = simulate(seed, READS, scenario).auditor.report

    assert not report.violations(scenario.expected), report.examples
    assert report.reads >= READS
    assert report.lookups["hit"] > READS / 4, described(report, scenario)


@pytest.mark.parametrize("name", PROMISED)
def test_a_seed_decides_everything(name: str) -> None:
    first, second = (simulate(3, 3_000, SCENARIOS[name]) for _ in range(2))

    assert first.auditor.report == second.auditor.report
    assert (first.hub.moment, first.hub.now) == (second.hub.moment, second.hub.now)


def test_hash_randomisation_decides_nothing() -> None:
    def said(hash_seed: str) -> str:
        command = [sys.executable, "-m", "tests.consistency.simulator", "--reads", "3000", "--scenario", "faults"]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, check=True, capture_output=True, text=True
        )
        return done.stdout.rpartition(";")[0]

    assert said("1") == said("2") != ""
