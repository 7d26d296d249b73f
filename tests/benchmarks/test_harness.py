"""What numbers are made of."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from benchmarks.harness import Chunk, Ratio, Series, chunk_size, quantile, ratio
from benchmarks.peers.measuring import Measured


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with contextlib.closing(asyncio.new_event_loop()) as found:
        yield found


def nothing() -> None:
    return None


def three_calls() -> int:
    nothing()
    return len("x") + abs(-1)


async def awaited_call() -> int:
    nothing()
    return 2


def test_ratios_are_taken_round_by_round() -> None:
    found = ratio([2.0, 30.0, 4.0], [1.0, 10.0, 4.0])

    assert found == Ratio(1.0, 2.0, 3.0)


def test_rounds_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 3), (0.95, 4), (1.0, 4)])
def test_a_quantile_is_a_value_of_the_sample(share: float, value: int) -> None:
    assert quantile([1, 2, 3, 4], share) == value


@pytest.mark.parametrize(("us", "budget"), [(0.1, 5_000), (3, 5_000), (80, 5_000), (5_000, 15_000), (0, 15_000)])
def test_a_chunk_fits_its_budget_and_quick_calls_are_timed_in_tens(us: float, budget: float) -> None:
    samples, repeat = chunk_size(us, budget)

    assert 5 <= samples <= 400
    assert samples * repeat * us <= max(budget, 5 * us * repeat)
    assert (repeat > 1) == (us < 25)


def test_figures_come_from_all_rounds() -> None:
    series = Series([Chunk([1.0, 2.0, 3.0], 1.5, 3), Chunk([4.0, 5.0, 6.0], 2.5, 3)])

    found = series.figures()

    assert found["rounds_us"] == [2.0, 5.0]
    assert (found["p50_us"], found["p95_us"], found["client_cpu_us"], found["calls"]) == (4.0, 6.0, 2.0, 6)


@pytest.mark.parametrize(
    ("call", "python", "everything"),
    [(nothing, 1, 1), (three_calls, 2, 4), (partial(three_calls), 2, 4), (awaited_call, 2, 2)],
)
def test_calls_of_functions_are_counted_exactly(
    call: Callable[[], object], python: int, everything: int, loop: asyncio.AbstractEventLoop
) -> None:
    found = Measured(call, loop).counted()

    assert found == (python, everything)


def test_a_chunk_has_a_time_for_each_sample(loop: asyncio.AbstractEventLoop) -> None:
    done: list[int] = []

    chunk = Measured(partial(done.append, 1), loop).timed(5, 3)

    assert (len(chunk.us), chunk.calls, len(done)) == (5, 15, 15)
    assert min(chunk.us) > 0


def test_a_profile_names_where_the_time_goes(loop: asyncio.AbstractEventLoop) -> None:
    rows = Measured(three_calls, loop).profiled(10, 50)

    called = {row["where"].split()[-1]: row["calls"] for row in rows}
    assert (called["three_calls"], called["nothing"]) == (1, 1)


def test_a_peer_measures_in_a_process_of_its_own() -> None:
    lines = [
        {"do": "prepare", "operation": "get-100"},
        {"do": "time", "operation": "get-100", "samples": 5, "repeated": 10},
        {"do": "count", "operation": "get-100"},
        {"do": "prepare", "operation": "no such thing"},
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.peers"],
        env=os.environ | {"BENCH_PEER": "locmem"},
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    ready, prepared, timed, counted, failed = map(json.loads, done.stdout.splitlines())

    assert ready == {"answer": "ready"}
    assert prepared["answer"] > 0
    assert len(Chunk(*timed["answer"]).us) == 5
    assert counted["answer"][0] < counted["answer"][1]
    assert "no such thing" in failed["error"]
