"""The circuit breaker, by a clock that is passed in."""

from __future__ import annotations

import threading

import pytest

from cachekit.exceptions import StoreUnavailable
from cachekit.stores.breaker import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Line:
    """A breaker, its clock, and what it told."""

    def __init__(self, failures: int = 3) -> None:
        self.clock = Clock()
        self.told: list[str | None] = []
        self.breaker = Breaker(self.told.append, failures=failures, pause=10, clock=self.clock)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.failed(TimeoutError("no answer"))

    def passes(self) -> bool:
        try:
            self.breaker.check()
        except StoreUnavailable:
            return False
        return True


def test_failures_in_a_row_open_it_and_are_told_once() -> None:
    line = Line()

    line.fail(2)
    assert line.passes()
    line.fail(3)

    assert not line.passes()
    assert line.breaker.is_open
    assert line.told == ["TimeoutError: no answer"]


def test_an_answer_in_between_starts_the_count_again() -> None:
    line = Line()

    line.fail(2)
    line.breaker.succeeded()
    line.fail(2)

    assert line.passes()
    assert line.told == []


def test_after_the_pause_one_call_tries() -> None:
    line = Line()
    line.fail(3)
    line.clock.now += 10

    assert [line.passes(), line.passes()] == [True, False]


def test_of_many_threads_one_tries() -> None:
    line = Line()
    line.fail(3)
    line.clock.now += 10
    passed: list[bool] = []
    threads = [threading.Thread(target=lambda: passed.append(line.passes())) for _ in range(20)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert passed.count(True) == 1


@pytest.mark.parametrize("answers", [True, False])
def test_the_try_decides(answers: bool) -> None:
    line = Line()
    line.fail(3)
    line.clock.now += 10
    assert line.passes()

    if answers:
        line.breaker.succeeded()
    else:
        line.fail()

    assert line.passes() is answers
    assert line.told == ["TimeoutError: no answer", *([None] if answers else [])]


def test_a_try_that_never_ends_lets_another_try_later() -> None:
    line = Line()
    line.fail(3)
    line.clock.now += 10
    assert line.passes()
    line.clock.now += 10

    assert line.passes()


def test_the_refusal_says_why_and_for_how_long() -> None:
    line = Line()
    line.fail(3)
    line.clock.now += 4

    with pytest.raises(StoreUnavailable, match=r"no answer.*next try in 6.0 s"):
        line.breaker.check()
