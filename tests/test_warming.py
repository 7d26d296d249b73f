from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from celery.schedules import crontab

from cachekit import beat, cached, warming, writebehind
from cachekit.exceptions import StoreUnavailable
from cachekit.stores import Store
from cachekit.stores.turns import server_of, turn
from cachekit.warming import UnknownWarmer, warmer
from tests.servers import Valkey
from tests.zoo.models import Book


@pytest.fixture(autouse=True)
def _only_own_warmers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "_warmers", {})
    monkeypatch.setattr(warming, "_runs_here", {})
    monkeypatch.setattr(writebehind, "_counters", {})


@pytest.fixture
def home(alias: str, settings: Any) -> str:
    """Keep locks and records on each kind of store."""
    settings.CACHEKIT = {"ALIAS": alias}
    return alias


def test_a_warmer_leaves_a_fresh_entry_though_one_is_there(home: str) -> None:
    numbers = count()
    shown = cached(timeout=300, name="numbers")(lambda: next(numbers))
    warmer(every=60, name="w")(shown)
    assert (shown(), shown()) == (0, 0)

    warming.run("w")

    assert (shown(), shown()) == (1, 1)


def test_what_an_async_warmer_opens_is_fresh_too(home: str) -> None:
    numbers = count()

    @cached(timeout=300)
    async def shown() -> int:
        return next(numbers)

    seen: list[int] = []

    @warmer(every=60, name="w")
    async def warm() -> None:
        seen.append(await shown())

    warming.run("w")
    warming.run("w")

    assert seen == [0, 1]


def test_a_run_is_recorded(home: str) -> None:
    warmer(every=60, name="w")(lambda: None)
    before = datetime.now(UTC)

    assert warming.runs() == []
    done = warming.run("w")

    assert (done.name, done.result, done.error) == ("w", "ok", "")
    assert before <= done.started <= datetime.now(UTC)
    assert 0 <= done.seconds < 5
    assert [(run.name, run.result) for run in warming.runs()] == [("w", "ok")]


def test_a_failure_is_recorded_and_raised(home: str) -> None:
    warmer(every=60, name="w")(lambda: 1 / 0)

    for _ in range(2):  # the first failure gave the lock back
        with pytest.raises(ZeroDivisionError):
            warming.run("w")

    assert [(run.result, run.error) for run in warming.runs()] == [("failed", "ZeroDivisionError: division by zero")]


def test_the_same_warmer_does_not_run_twice_at_once(home: str) -> None:
    inner: list[str] = []
    warmer(every=60, name="w")(lambda: inner.append(warming.run("w").result))

    assert warming.run("w").result == "ok"
    assert inner == ["skipped"]
    assert [run.result for run in warming.runs()] == ["ok"]


def test_a_lock_lasts_the_time_limit_whoever_holds_it(valkey: Valkey) -> None:
    store = _store()
    server = server_of(store)
    assert server is not None
    key = store.slot_key("turn:warm:w")
    left: list[int] = []
    warmer(every=60, name="w", time_limit=50)(lambda: left.append(server.pttl(key)))

    assert warming.run("w").result == "ok"
    assert 30_000 < left[0] <= 50_000

    server.set(key, "of one who was killed", px=50_000)
    assert warming.run("w").result == "skipped"

    server.delete(key)
    assert warming.run("w").result == "ok"


def _store() -> Store:
    from cachekit.stores import store_for

    return store_for("default")


def test_a_lock_lost_to_its_time_limit_is_not_taken_from_the_next(valkey: Valkey) -> None:
    store = _store()
    server = server_of(store)
    assert server is not None
    key = store.slot_key("turn:thing")

    with turn(store, "thing", seconds=50) as mine:
        assert mine
        server.set(key, "of the next", px=50_000)

    assert server.get(key) == b"of the next"


def test_with_the_server_away_a_run_says_so(own_valkey: Valkey, use_cache: Callable[..., None]) -> None:
    use_cache(own_valkey.url)
    warmer(every=60, name="w")(lambda: None)
    own_valkey.kill()

    with pytest.raises(StoreUnavailable):
        warming.run("w")


@pytest.mark.parametrize("when", [{}, {"every": 5, "schedule": crontab()}])
def test_a_warmer_has_one_time(when: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one of"):
        warmer(**when)


@pytest.mark.parametrize("every", [0, -1, True, "5", float("nan"), float("inf"), timedelta(0)])
def test_a_period_that_is_none_is_refused(every: Any) -> None:
    with pytest.raises(ValueError, match="every must be a positive number of seconds or a timedelta"):
        warmer(every=every)


def test_a_schedule_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one of Celery's.*'0 4"):
        warmer(schedule="0 4 * * *")  # type: ignore[arg-type]


def test_a_time_limit_is_positive() -> None:
    with pytest.raises(ValueError, match="time_limit must be a positive"):
        warmer(every=5, time_limit=0)


def test_two_warmers_need_two_names() -> None:
    warmer(every=60, name="w")(lambda: None)

    with pytest.raises(ValueError, match="Two warmers are called 'w'"):
        warmer(every=60, name="w")(lambda: None)


def test_an_unknown_warmer_is_told_with_those_known() -> None:
    warmer(every=60, name="w")(lambda: None)

    with pytest.raises(UnknownWarmer, match=r"'nope' \(known: w\)"):
        warming.run("nope")


def test_a_warmer_is_called_by_its_path_and_stays_a_function() -> None:
    @warmer(every=timedelta(minutes=1))
    def fill() -> int:
        return 7

    assert fill() == 7
    assert [(one.name, one.schedule) for one in warming.registered()] == [
        ("tests.test_warming.test_a_warmer_is_called_by_its_path_and_stays_a_function.<locals>.fill", 60.0)
    ]


# What beat sends.


@pytest.fixture
def app() -> Any:
    from celery import Celery

    return Celery("test", broker="memory://", set_as_current=False, timezone="Europe/Brussels")


def due(app: Any) -> dict[str, bool]:
    made = beat.scheduler(app)
    return {name: bool(entry.is_due()[0]) for name, entry in made.schedule.items() if entry.task != "cachekit.relay"}


def test_what_never_ran_is_due_at_once_but_for_what_has_times(app: Any, valkey: Valkey) -> None:
    warmer(every=60, name="often")(lambda: None)
    warmer(schedule=crontab(month_of_year="2", day_of_month="29"), name="seldom")(lambda: None)
    writebehind.WriteBehindCounter(Book, "views")

    assert due(app) == {
        "cachekit.warm:often": True,
        "cachekit.warm:seldom": False,
        "cachekit.flush_writes:zoo.book.views": True,
    }


def test_a_restarted_beat_goes_on_from_the_recorded_run(app: Any, valkey: Valkey) -> None:
    warmer(every=3600, name="hourly")(lambda: None)
    warming.run("hourly")
    assert due(app) == {"cachekit.warm:hourly": False}

    store, server = _store(), server_of(_store())
    assert server is not None
    earlier = datetime.now(UTC).timestamp() - 3601
    server.hset(store.slot_key("warm:runs"), "hourly", f'["hourly", {earlier}, 1.0, "ok", ""]')

    assert due(app) == {"cachekit.warm:hourly": True}


def test_beat_starts_though_the_cache_server_is_away(
    app: Any, own_valkey: Valkey, use_cache: Callable[..., None]
) -> None:
    use_cache(own_valkey.url)
    warmer(every=60, name="w")(lambda: None)
    own_valkey.kill()

    assert due(app) == {"cachekit.warm:w": True}


def test_messages_expire_so_that_none_pile_up_while_workers_are_away(app: Any, valkey: Valkey) -> None:
    warmer(every=3600, name="hourly")(lambda: None)
    warmer(schedule=crontab(minute="0"), name="timed")(lambda: None)
    writebehind.WriteBehindCounter(Book, "views", flush_every=5)

    options = {name: entry.options for name, entry in beat.scheduler(app).schedule.items()}

    assert options == {
        "cachekit.warm:hourly": {"expires": 3600},
        "cachekit.warm:timed": {},
        "cachekit.flush_writes:zoo.book.views": {"expires": 60},
        "cachekit.relay:": {"expires": 60},
    }


@pytest.mark.parametrize(
    ("theirs", "ours", "sleep"), [(5.0, 2.0, 2.0), (1.0, 2.0, 1.0), (0, 2.0, 0), (None, 2.0, 0), (5.0, 0, 0)]
)
def test_beat_sleeps_the_shorter_time(theirs: float | None, ours: float, sleep: float) -> None:
    assert beat.together(lambda: theirs, lambda: ours)() == sleep


def test_trouble_of_ours_does_not_stop_beat(caplog: pytest.LogCaptureFixture) -> None:
    tick = beat.together(lambda: 300.0, lambda: 1 / 0)

    assert tick() == beat.RETRY
    assert "could not be sent" in caplog.text


WITHOUT_CELERY = """
import sys
sys.modules["celery"] = None
import django
from django.conf import settings
memory = {"BACKEND": "cachekit.backends.MemoryCache"}
settings.configure(INSTALLED_APPS=["django.contrib.contenttypes", "cachekit"], CACHES={"default": memory})
django.setup()
from cachekit import WriteBehindCounter, warmer, warming

@warmer(every=60, name="w")
def warm():
    print("warmed")

assert warming.run("w").result == "ok"
try:
    import cachekit.tasks
except ImportError as error:
    print(error)
"""


def test_without_celery_warmers_run_by_hand_and_tasks_say_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_CELERY], check=False, capture_output=True, text=True)

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "warmed",
        "This needs the extra 'celery'. Install it with: pip install 'django-cachekit[celery]'",
    ]
