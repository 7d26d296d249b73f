"""The online auditor and the shadow mode in simulated worlds: they accuse nobody wrongly, and notice wrong code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from cachekit import auditing, hooks, suspects
from tests.consistency.mutants import HOT, MUTANTS, Mutant
from tests.consistency.running import simulate

READS = 3_000
RIGS: dict[str, dict[str, Any]] = {"audit": {"AUDIT": 1}, "shadow": {"SHADOW": True}}
TOLD_LATER = ("feed", "home")
"""What changes before anybody is told: in between the law serves what was."""
NOTICED = [
    one for one in MUTANTS if one.name in ("the read point is sampled after the read", "no intent before COMMIT")
]


@pytest.fixture
def results(rig: str, settings: Any) -> Iterator[Counter[str]]:
    """What the rig says, of all that transactions change."""
    settings.CACHEKIT = {**settings.CACHEKIT, **RIGS[rig]}
    kind = {"audit": hooks.Audited, "shadow": hooks.Shadowed}[rig]
    found: Counter[str] = Counter()

    def count(event: Any) -> None:
        if not event.name.startswith(TOLD_LATER):
            found[event.result] += 1

    hooks.unsubscribe(auditing.Suspect, suspects.watch)  # there are no threads in a simulated world
    hooks.subscribe(kind, count)
    yield found
    hooks.unsubscribe(kind, count)
    hooks.subscribe(auditing.Suspect, suspects.watch)


@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize("seed", [1])
def test_right_code_is_never_accused(rig: str, seed: int, results: Counter[str]) -> None:
    report = simulate(seed, READS, HOT).auditor.report

    assert not report.violations(HOT.expected)
    assert results["mismatch"] == results["unsteady"] == 0
    assert results["match"] > 100
    assert results["raced"]


@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize("mutant", NOTICED, ids=lambda mutant: mutant.name)
def test_wrong_code_is_noticed(rig: str, mutant: Mutant, results: Counter[str]) -> None:
    with mutant.alive():
        for seed in range(1, 6):
            simulate(seed, READS, mutant.scenario)
            if results["mismatch"]:
                break

    assert results["mismatch"]
