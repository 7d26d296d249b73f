"""The mutation gate: every wrong variant of cachekit makes the simulator report stale reads, and the right one none."""

from __future__ import annotations

import pytest

from cachekit import cached
from cachekit.orm import writing
from tests.consistency.auditor import Report
from tests.consistency.mutants import HOT, MUTANTS, Mutant
from tests.consistency.running import simulate
from tests.consistency.scenarios import Scenario
from tests.zoo.builders import make_book
from tests.zoo.models import Book

SEEDS = tuple(range(1, 9))
"""The first two are enough today; the others are for the day when cachekit draws its dice in another order."""
READS = 8_000


def right(scenario: Scenario, seed: int, reads: int) -> Report:
    """Return what the right code does in the same world, for as long as the wrong one lived in it."""
    return simulate(seed, reads, scenario).auditor.report


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_noticed(mutant: Mutant) -> None:
    scenario, noticed = mutant.scenario, 0
    assert mutant.code() != mutant.function.__code__

    with mutant.alive():
        for seed in SEEDS:
            report = simulate(seed, READS, scenario, until_wrong=True).auditor.report
            if report.violations(scenario.expected):
                noticed = seed
                break

    assert noticed
    assert not right(scenario, noticed, report.reads).violations(scenario.expected)


OLD_SLICE = Mutant(
    "a slice's old value is taken from the instance",
    "cachekit.orm.writing:changed",
    "held = _held(query, using, pk, indexes, keys)",
    "held = LOADED",
    HOT,
)


@cached(600)
def titles(status: str) -> list[str]:
    return sorted(Book.objects.filter(status=status).values_list("title", flat=True))


def moved_by_two_editors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is listed under a status that a book has left, by the hand of one who never saw it there."""
    book = make_book("Notes", status="draft")
    late = Book.objects.get(pk=book.pk)
    monkeypatch.setattr(writing, "LOADED", [(late.pk, late.author_id, late.status)], raising=False)
    book.status = "review"
    book.save()
    assert titles("review") == ["Notes"]

    late.status = "sold"
    late.save()
    return titles("review")


@pytest.mark.django_db(transaction=True)
def test_old_slices_are_what_the_database_held(monkeypatch: pytest.MonkeyPatch) -> None:
    assert moved_by_two_editors(monkeypatch) == []


@pytest.mark.django_db(transaction=True)
def test_old_slices_of_the_instance_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with OLD_SLICE.alive():
        assert moved_by_two_editors(monkeypatch) == ["Notes"]
