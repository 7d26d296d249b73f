"""Cachekit in real processes on real servers, under some faults: nothing acknowledged is ever missed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.consistency.checker.director import Director, Plan
from tests.consistency.checker.subjects import SUBJECTS
from tests.servers import Missing, Postgres

QUICK = ("restarted from an old snapshot", "paused for longer than a timeout", "too few replicas, writes refused")


@pytest.fixture
def database() -> Iterator[Postgres]:
    """A PostgreSQL server whose acknowledged COMMITs survive the end of its processes."""
    try:
        server = Postgres("--synchronous_commit=on")
    except Missing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_read_misses_an_acknowledged_write_whatever_breaks(database: Postgres) -> None:
    plan = Plan(SUBJECTS["cachekit"], seed=1, faults=("writer killed", *QUICK), readers=2)

    verdicts = Director(plan, database).run().verdicts

    whole = verdicts.whole
    assert whole.reads > 500
    assert whole.writes > 0
    wrong = {kind: whole.stale[kind] for kind in ("acknowledged", "phantom", "own") if whole.stale[kind]}
    assert not wrong, "\n".join(verdicts.examples)
    assert verdicts.lasting == {}
    assert not whole.errors, "\n".join(verdicts.examples)


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_checker_finds_what_is_wrong(database: Postgres) -> None:
    plan = Plan(SUBJECTS["blind"], seed=1, reads=2000, faults=("SCRIPT FLUSH",), readers=2, quiet=0)

    whole = Director(plan, database).run().verdicts.whole

    assert whole.stale["acknowledged"] or whole.stale["committed"]
