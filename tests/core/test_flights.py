"""Who may join a computation, and who must not wait."""

from __future__ import annotations

import threading

import pytest

from cachekit.core.entry import NEVER, Header
from cachekit.core.flights import Flights, Job, Moments, Outcome

EPOCH = b"epoch-01"
HEADER = Header(EPOCH, read_point=100, oldest=100, expiry=NEVER, cost=1, tags=b"")
KEY = ("default", "k")


@pytest.mark.parametrize(
    ("outcome", "arrival", "arrived", "serves"),
    [
        (Outcome(5.0, HEADER), 101, 6.0, False),
        (Outcome(5.0, HEADER), 99, 6.0, True),
        (Outcome(5.0, HEADER), 100, 6.0, False),
        (Outcome(5.0, HEADER, proven=True), 101, 6.0, True),
        (Outcome(7.0, HEADER), 101, 6.0, True),
        (Outcome(5.0, HEADER._replace(epoch=b"epoch-02")), 100, 6.0, False),
        (Outcome(5.0, refused=True), 100, 6.0, False),
        (Outcome(7.0), 100, 6.0, False),
        (Outcome(5.0, error=KeyError()), 100, 6.0, False),
        (Outcome(7.0, error=KeyError()), 100, 6.0, True),
    ],
)
def test_a_waiter_takes_what_began_after_it_came_or_is_proven(
    outcome: Outcome, arrival: int, arrived: float, serves: bool
) -> None:
    assert outcome.serves(EPOCH, arrival, arrived) is serves


def test_without_an_epoch_only_time_in_this_process_counts() -> None:
    nowhere = HEADER._replace(epoch=b"")

    assert not Outcome(5.0, nowhere).serves(b"", 0, 6.0)
    assert Outcome(7.0, nowhere).serves(b"", NEVER, 6.0)


def test_the_first_leads_and_the_next_join_until_it_is_closed() -> None:
    flights, job = Flights(), Job()

    first, leads = flights.enter(KEY, job)
    second, joins = flights.enter(KEY, Job())
    flights.close(KEY, first)
    third, leads_again = flights.enter(KEY, Job())

    assert (leads, joins, leads_again) == (True, False, True)
    assert second is first
    assert third is not first
    flights.land(KEY, first, Outcome(1.0))
    assert flights.enter(KEY, Job())[0] is third, "the landing of one must not end another"


def test_a_chain_of_waits_never_closes() -> None:
    flights = Flights()
    jobs = [Job() for _ in range(3)]
    led = [flights.enter(("default", str(n)), job)[0] for n, job in enumerate(jobs)]

    assert flights.may_wait(led[1], jobs[0])
    assert flights.may_wait(led[2], jobs[1])
    assert not flights.may_wait(led[0], jobs[2])
    assert not flights.may_wait(led[2], jobs[2]), "nor for itself"
    flights.waited(led[2], jobs[1])

    assert flights.may_wait(led[0], jobs[2])


def test_of_two_who_would_wait_for_each_other_one_may() -> None:
    for _ in range(50):
        flights = Flights()
        one, other = Job(), Job()
        mine, its = flights.enter(("a", "1"), one)[0], flights.enter(("a", "2"), other)[0]
        allowed: list[bool] = []
        gate = threading.Barrier(2)

        def ask(flight: object, job: Job) -> None:
            gate.wait()  # noqa: B023
            allowed.append(flights.may_wait(flight, job))  # type: ignore[arg-type]  # noqa: B023

        threads = [threading.Thread(target=ask, args=pair) for pair in ((its, one), (mine, other))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(allowed) == [False, True]


def test_what_cannot_be_shared_is_shunned_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    flights = Flights()

    flights.shun(KEY)

    assert flights.is_shunned(KEY)
    assert not flights.is_shunned(("default", "other"))
    monkeypatch.setattr("cachekit.core.flights.SHUN_SECONDS", -1.0)
    flights.forget()
    flights.shun(KEY)
    assert not flights.is_shunned(KEY)


def test_keys_of_a_moment_ago_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachekit.core.flights.MAX_MOMENTS", 3)
    moments = Moments(60)

    for n in range(10):
        moments.note(("default", str(n)))

    assert len(moments._until) <= 3
    assert moments.holds(("default", "9"))
