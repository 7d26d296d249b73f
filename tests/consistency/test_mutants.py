"""The mutation gate: every wrong variant of cachekit makes the simulator report stale reads, and the right one none."""

from __future__ import annotations

import pytest

from tests.consistency.mutants import EQUIVALENT, MUTANTS, Mutant
from tests.consistency.running import simulate

SEEDS = (1, 2, 3)
READS = 12_000


@pytest.mark.slow
@pytest.mark.parametrize("scenario", sorted({mutant.scenario.name for mutant in MUTANTS}))
def test_right_code_passes_where_mutants_fail(scenario: str) -> None:
    world = next(mutant.scenario for mutant in MUTANTS if mutant.scenario.name == scenario)

    for seed in SEEDS:
        report = simulate(seed, READS, world).auditor.report
        assert not report.violations(world.expected), report.examples


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_noticed(mutant: Mutant) -> None:
    assert mutant.code() != mutant.function.__code__

    with mutant.alive():
        found = (simulate(seed, READS, mutant.scenario, until_wrong=True).auditor.report for seed in SEEDS)

        assert any(report.violations(mutant.scenario.expected) for report in found)


@pytest.mark.parametrize("mutant", EQUIVALENT, ids=lambda mutant: mutant.name)
def test_what_cannot_be_wrong_yet_still_applies(mutant: Mutant) -> None:
    with mutant.alive():
        assert not simulate(1, 2_000, mutant.scenario).auditor.report.violations(mutant.scenario.expected)
