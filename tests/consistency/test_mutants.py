"""The mutation gate: every wrong variant of cachekit makes the simulator report stale reads, and the right one none."""

from __future__ import annotations

import pytest

from cachekit import cached
from cachekit.orm import writing
from tests.consistency.mutants import EQUIVALENT, HOT, MUTANTS, Mutant
from tests.consistency.running import simulate
from tests.zoo.builders import make_book
from tests.zoo.models import Book

SEEDS = (1, 2)
READS = 10_000


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
        found = (simulate(seed, READS, mutant.scenario, until_wrong=True).auditor.report for seed in range(1, 9))

        assert any(report.violations(mutant.scenario.expected) for report in found)


@pytest.mark.parametrize("mutant", EQUIVALENT, ids=lambda mutant: mutant.name)
def test_what_cannot_be_wrong_yet_still_applies(mutant: Mutant) -> None:
    with mutant.alive():
        assert not simulate(1, 2_000, mutant.scenario).auditor.report.violations(mutant.scenario.expected)


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
