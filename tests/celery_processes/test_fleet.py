"""Real workers and beats: warmers run, counts arrive, and kill -9 in mid-flush loses and doubles nothing."""

from __future__ import annotations

import json
import shelve
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from tests.celery_processes.fleet import CeleryProcess, Fleet, until
from tests.environment import Environment

pytestmark = [pytest.mark.processes, pytest.mark.slow]

POINTS = ("sealed", "claimed", "written", "committed", "dropped")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> Iterator[Fleet]:
    """A project on SQLite, or on PostgreSQL where the tests run on it."""
    env = {}
    if environment.postgres:
        env = {"FLEET_POSTGRES_PORT": str(environment.postgres.port)}
        with psycopg.connect(environment.postgres.url, autocommit=True) as link:
            link.execute("CREATE DATABASE fleet")
    with Fleet(tmp_path_factory.mktemp("fleet"), **env) as started:
        yield started


@pytest.fixture(scope="module")
def worker(fleet: Fleet) -> CeleryProcess:
    return fleet.worker("--pool=prefork", "-c", "2")


@pytest.fixture(scope="module")
def schedule_file(fleet: Fleet) -> Path:
    return fleet.folder / "schedule"


@pytest.fixture(scope="module")
def beat(fleet: Fleet, worker: CeleryProcess, schedule_file: Path) -> CeleryProcess:
    return fleet.beat("-s", str(schedule_file))


@pytest.fixture
def counting(fleet: Fleet) -> Iterator[subprocess.Popen[str]]:
    process = fleet.start_work("add")
    yield process
    process.kill()
    process.communicate()


def told(counting: subprocess.Popen[str]) -> list[int]:
    """End the counting and return how much was counted."""
    printed, _ = counting.communicate(timeout=200)
    counted: list[int] = json.loads(printed)
    return counted


def arrived(fleet: Fleet) -> list[int]:
    """Wait until nothing waits any more and return the sums in the database."""
    until(lambda: not fleet.waiting(), "every count has left the server")
    sums, waiting = fleet.work("sum")
    assert waiting == 0
    return list(sums)


@pytest.fixture
def before(fleet: Fleet, beat: CeleryProcess) -> list[int]:
    """What earlier tests have counted."""
    return arrived(fleet)


def grown(before: list[int], after: list[int]) -> list[int]:
    return [new - old for old, new in zip(before, after, strict=True)]


def test_beat_runs_warmers_that_no_schedule_names(fleet: Fleet, beat: CeleryProcess, schedule_file: Path) -> None:
    until(lambda: {"titles", "broken"} <= fleet.runs().keys(), "both warmers ran")

    runs = fleet.runs()
    assert runs["titles"][1:] == ("ok", "")
    assert runs["broken"][1:] == ("failed", "RuntimeError: no bread today")
    assert list(fleet.client.scan_iter(match="*titles*")), "the warmed entry is in the cache"
    with shelve.open(str(schedule_file)) as kept:
        assert not [name for name in kept.get("entries", {}) if name.startswith("cachekit.")]


def test_celery_sees_that_a_warmer_failed(fleet: Fleet, worker: CeleryProcess, beat: CeleryProcess) -> None:
    until(lambda: "broken" in fleet.runs(), "the broken warmer ran")

    until(lambda: "raised unexpected: RuntimeError('no bread today')" in worker.log, "the worker logs the failure")


def test_counts_reach_the_database(fleet: Fleet, before: list[int], counting: subprocess.Popen[str]) -> None:
    until(fleet.waiting, "something was counted")

    counted = told(counting)

    assert min(counted) > 0
    assert grown(before, arrived(fleet)) == counted


def test_killed_in_mid_flush_nothing_is_lost_or_doubled(
    fleet: Fleet, before: list[int], worker: CeleryProcess, counting: subprocess.Popen[str]
) -> None:
    for turn in range(4):
        for point in POINTS:
            fleet.kill_in_flush(point)
        if turn % 2:
            worker.kill()  # the whole worker, its pool with it
            worker.start()

    counted = told(counting)

    assert grown(before, arrived(fleet)) == counted


def test_beat_killed_and_started_again_goes_on(
    fleet: Fleet, before: list[int], beat: CeleryProcess, counting: subprocess.Popen[str]
) -> None:
    beat.kill()
    until(fleet.waiting, "something was counted")
    counted = told(counting)
    last = fleet.runs()["titles"][0]

    beat.start()

    assert grown(before, arrived(fleet)) == counted
    until(lambda: fleet.runs()["titles"][0] > last, "the warmer ran again")


def test_a_solo_worker_with_beat_inside_does_it_all(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        fleet.worker("--pool=solo", "-B", "-s", str(tmp_path / "schedule"))
        counting = fleet.start_work("add")
        until(lambda: "titles" in fleet.runs(), "the warmer ran")

        counted = told(counting)

        assert arrived(fleet) == counted


@pytest.mark.skipif(find_spec("django_celery_beat") is None, reason="django-celery-beat is not installed")
def test_with_the_database_scheduler_no_row_is_made(tmp_path: Path) -> None:
    with Fleet(tmp_path, FLEET_APPS="django_celery_beat") as fleet:
        fleet.worker("--pool=solo")
        fleet.beat("--scheduler", "django_celery_beat.schedulers:DatabaseScheduler")
        counting = fleet.start_work("add")
        until(lambda: "titles" in fleet.runs(), "the warmer ran")

        counted = told(counting)

        assert arrived(fleet) == counted
        assert fleet.work("rows") == ["celery.backend_cleanup"]
