from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import timeit
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies

from cachekit import cached, hooks, invalidate, metrics, stats
from cachekit.core.tally import HOUR, OTHER, RESULTS, WINDOWS, Asked, Counts, Tally
from cachekit.hooks import Lookup
from cachekit.stores import Store, store_for
from tests.patience import PATIENCE, until
from tests.servers import Valkey

NOW = 1_790_000_000.0


@pytest.fixture(autouse=True)
def _own_counts(settings: Any) -> Iterator[None]:
    settings.CACHEKIT = {**getattr(settings, "CACHEKIT", {}), "STATS_INTERVAL": 3600}
    stats.forget()
    yield
    stats.forget()


def hit(alias: str, door: str = "function", name: str = "shop.top", result: str = "hit") -> Lookup:
    return Lookup(alias, door, name, result)


@pytest.fixture
def _hasty_threads() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("_hasty_threads")
def test_threads_lose_no_count_also_while_it_is_read() -> None:
    tally, asked = Tally(), [("default", "view", f"v{number}", "hit") for number in range(5)]
    start = threading.Barrier(9)

    def count() -> None:
        start.wait()
        for _ in range(4_000):
            for one in asked:
                tally.add(one)

    def read() -> None:
        start.wait()
        for _ in range(200):
            tally.totals()

    threads = [threading.Thread(target=count) for _ in range(8)] + [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tally.totals() == dict.fromkeys(asked, 8 * 4_000)


def test_a_count_costs_less_than_a_microsecond() -> None:
    event = hit("default")
    stats.count(event)

    best = min(timeit.repeat(lambda: stats.count(event), timer=time.thread_time, number=10_000, repeat=20)) / 10_000

    assert best < 1e-6


def test_names_beyond_the_bound_are_counted_together() -> None:
    tally = Tally(names=2)

    for name in ("a", "b", "c", "d", "a", "d"):
        tally.add(("default", "view", name, "hit"))

    assert {asked[2]: times for asked, times in tally.totals().items()} == {"a": 2, "b": 1, OTHER: 3}


def test_reading_counts_nothing() -> None:
    tally = Tally()
    tally.add(hit("default"))

    assert [tally.totals() for _ in range(3)] == [{hit("default"): 1}] * 3


def test_a_ratio_is_made_of_hits_and_misses_only() -> None:
    counts = Counts(hit=6, miss=1, expired=1, stale=2, bypass=50, error=40)

    assert (counts.ratio, counts.asked, counts.misses, counts.total) == (0.6, 10, 4, 100)
    assert Counts(bypass=3).ratio is None


def test_what_was_counted_can_be_read_back(alias: str) -> None:
    for result in ("hit", "hit", "hit", "miss", "stale", "bypass"):
        stats.count(hit(alias, result=result))
    stats.count(hit(alias, "view", "shop.home"))

    stats.flush()

    found = stats.history(alias, "1h")
    assert found.total == Counts(hit=4, miss=1, stale=1, bypass=1)
    assert found.doors == {"function": Counts(hit=3, miss=1, stale=1, bypass=1), "view": Counts(hit=1)}
    assert stats.names(alias, "1h")["view", "shop.home"] == Counts(hit=1)
    assert sum(counts.total for _, counts in stats.series(alias, "7d", "view")) == 1


def test_the_latest_minutes_are_the_latest(alias: str) -> None:
    stats.count(hit(alias))
    stats.flush()

    assert stats.latest(alias) == Counts(hit=1)
    assert stats.latest(alias, now=time.time() + 6 * 60) == Counts()


@pytest.mark.parametrize("window", WINDOWS)
def test_every_window_ends_now(alias: str, window: str) -> None:
    stats.count(hit(alias))
    stats.flush()

    points = stats.series(alias, window)

    chosen = WINDOWS[window]
    assert len(points) == chosen.span // chosen.step
    assert points[-1][0] <= time.time() < points[-1][0] + chosen.step
    assert points[-1][1] == Counts(hit=1)
    assert stats.totals(alias, window, now=time.time() + chosen.span + HOUR) == Counts()


def test_nothing_is_sent_twice(alias: str) -> None:
    stats.count(hit(alias))
    stats.flush()
    stats.flush()
    stats.count(hit(alias))
    stats.flush()

    assert stats.totals(alias) == Counts(hit=2)


@given(
    strategies.lists(
        strategies.tuples(strategies.sampled_from(["a", "b\n", "c\x1f"]), strategies.sampled_from(RESULTS))
    )
)
def test_sums_equal_an_independent_count(events: list[tuple[str, str]]) -> None:
    stats.forget()
    before = stats.names("memory", "1h")

    for name, result in events:
        stats.count(hit("memory", "view", name, result))
    stats.flush()

    new: Counter[tuple[str, str]] = Counter()
    for (_, name), counts in stats.names("memory", "1h").items():
        for result in RESULTS:
            earlier = before.get(("view", name), Counts())
            new[name, result] += getattr(counts, result) - getattr(earlier, result)
    assert +new == Counter(events)


def test_counting_asks_the_server_nothing(valkey: Valkey) -> None:
    stats.count(hit("default"))
    client = store_for("default").client  # type: ignore[attr-defined]
    before = client.info("stats")["total_commands_processed"]

    for _ in range(1_000):
        stats.count(hit("default"))

    assert client.info("stats")["total_commands_processed"] - before <= 2  # the two INFO


def test_a_server_that_was_away_gets_its_counts_when_it_is_back(
    own_valkey: Valkey, use_cache: Callable[..., None]
) -> None:
    use_cache(own_valkey.url)
    stats.count(hit("default"))

    own_valkey.kill()  # one that is only paused would find in its buffers what timed out here, and count it twice
    stats.flush()
    stats.count(hit("default"))
    stats.flush()
    own_valkey.start()

    def sent() -> bool:
        stats.flush()
        return not stats._process._waiting

    until(sent)

    assert stats.totals("default") == Counts(hit=2)


def test_counts_wait_under_their_own_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    process = stats.Process()
    for minute in range(100):
        process.tally.add(hit("default"))
        process._collect(int(NOW) + minute * 60)

    waiting = process._waiting["default"]

    assert len(waiting) == stats.KEPT_MINUTES
    assert sum(sums[hit("default")] for sums in waiting.values()) == 100


def test_an_alias_that_is_gone_is_forgotten() -> None:
    stats.count(hit("nowhere"))

    stats.flush()

    assert not stats._process._waiting


def test_interval_zero_sends_nothing(settings: Any) -> None:
    settings.CACHEKIT = {"STATS_INTERVAL": 0}
    stats.count(hit("default"))

    stats.flush()

    assert stats.totals("default") == Counts()
    assert stats.counted()[hit("default")] == 1


def test_the_thread_sends_by_itself(settings: Any) -> None:
    settings.CACHEKIT = {"STATS_INTERVAL": 0.05}

    stats.count(hit("default"))

    until(lambda: stats.totals("default").total)
    assert stats.totals("default") == Counts(hit=1)


def test_counts_that_were_forgotten_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    woken, before = threading.Event(), set(threading.enumerate())
    clock = SimpleNamespace(time=time.time, sleep=lambda _: woken.wait(PATIENCE))
    monkeypatch.setattr(stats, "time", clock)
    stats.count(hit("default"))
    (thread,) = [one for one in set(threading.enumerate()) - before if one.name == "cachekit-stats"]

    stats.forget()
    woken.set()
    thread.join(PATIENCE)

    assert not thread.is_alive()
    assert stats.totals("default") == Counts()


def test_a_fork_sends_what_it_counted_and_no_more() -> None:
    stats.count(hit("default"))

    child = os.fork()
    if not child:
        stats.count(hit("default", result="miss"))
        stats.flush()
        os._exit(0)
    os.waitpid(child, 0)
    stats.flush()

    assert stats.totals("default") == Counts(hit=1, miss=1)


PROGRAM = """
import django
django.setup()
from cachekit import hooks
hooks.tell(hooks.Lookup("default", "view", "short", "hit"))
"""


def test_a_process_that_ends_sends_the_rest(valkey: Valkey) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=200)

    assert stats.names("default", "1h")["view", "short"] == Counts(hit=1)


CROWD = """
import threading
import django
django.setup()
from cachekit import cached

@cached(timeout=60, name="crowd")
def answer(number):
    return number

def ask():
    for number in range(400):
        answer(number % 7)

threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_threads_of_processes_together_lose_no_count(valkey: Valkey) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", CROWD]) for _ in range(3)]
    assert [process.wait(200) for process in processes] == [0, 0, 0]

    assert stats.names("default", "1h")["function", "crowd"].total == 3 * 4 * 400


def test_a_celery_child_that_ends_sends_the_rest() -> None:
    from celery.signals import worker_process_shutdown

    stats.count(hit("default"))

    worker_process_shutdown.send(None)

    assert stats.totals("default") == Counts(hit=1)


def test_a_failing_observer_fails_nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def failing(new: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stats, "_observers", (failing,))
    stats.count(hit("default"))

    stats.flush()

    assert "ZeroDivisionError" in caplog.text


def test_doors_are_counted_without_asking(alias: str) -> None:
    @cached(timeout=60, alias=alias)
    def answer() -> int:
        return 42

    for _ in range(3):
        answer()
    stats.flush()

    assert stats.totals(alias, "1h") == Counts(hit=2, miss=1)


def test_invalidations_are_told_newest_first(store: Store) -> None:
    invalidate("first", alias=store.alias, why="import", by="ana")
    invalidate("second", "third", alias=store.alias)

    told = stats.invalidations(store.alias)

    assert [event.tags for event in told] == [("second", "third"), ("first",)]
    assert (told[1].why, told[1].by) == ("import", "ana")
    assert abs(told[0].point / 1e6 - time.time()) < 60


def test_prometheus_counts_what_was_counted() -> None:
    from prometheus_client import REGISTRY

    def exported() -> float:
        labels = {"cache": "default", "door": "view", "result": "hit"}
        return REGISTRY.get_sample_value("cachekit_requests_total", labels) or 0

    metrics.install()
    before = exported()
    for _ in range(3):
        hooks.tell(hit("default", "view"))

    stats.flush()
    stats.flush()

    assert exported() - before == 3


def test_prometheus_knows_no_names() -> None:
    asked: Asked = ("default", "view", "secret-name", "hit")

    metrics.feed({asked: 1})

    assert metrics.requests()._labelnames == ("cache", "door", "result")


def test_prometheus_tells_audits_and_shadows_from_requests() -> None:
    from prometheus_client import REGISTRY

    def exported(name: str, result: str) -> float:
        labels = {"cache": "default", "door": "query", "result": result}
        return REGISTRY.get_sample_value(name, labels) or 0

    asked: list[Asked] = [("default", "query", "n", result) for result in ("audit-mismatch-60", "shadow-would-miss")]

    metrics.feed(dict.fromkeys(asked, 2))

    assert exported("cachekit_audits_total", "mismatch-60") == 2
    assert exported("cachekit_shadows_total", "would-miss") == 2
    assert exported("cachekit_requests_total", "audit-mismatch-60") == 0


def test_look_ups_are_counted_in_one_call_as_long_as_nobody_else_listens() -> None:
    event = hit("default", name="short")
    heard: list[Lookup] = []
    for _ in range(3):
        hooks.looked_up(event)
    assert stats.counted()[event] == 3
    hooks.subscribe(Lookup, heard.append)
    hooks.looked_up(event)
    hooks.looked_up(event)
    assert heard == [event, event]
    hooks.unsubscribe(Lookup, heard.append)
    hooks.looked_up(event)
    assert (heard, stats.counted()[event]) == ([event, event], 6)


def test_what_was_forgotten_is_counted_from_nothing() -> None:
    event = hit("default", name="short")
    for _ in range(3):
        hooks.looked_up(event)
    stats.forget()
    hooks.looked_up(event)
    hooks.looked_up(event)
    assert stats.counted()[event] == 2


def test_names_beyond_the_bound_are_counted_together_in_one_call_too() -> None:
    for number in range(300):
        for _ in range(3):
            hooks.looked_up(hit("default", name=f"n{number}"))
    assert sum(stats.counted().values()) == 900
