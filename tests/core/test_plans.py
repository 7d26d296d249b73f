"""The plan for a value that is not there, step by step, without a store."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from cachekit.core import steps
from cachekit.core.entry import NEVER, Found, Header, Verdict
from cachekit.core.flights import Flights, Job, Outcome
from cachekit.core.plans import Answer, Join, Produce, Produced, Visit, renew
from cachekit.core.policy import Policy, Spec
from cachekit.exceptions import StoreUnavailable
from cachekit.signing import pickles

EPOCH = b"epoch-01"
SECOND = 1_000_000
HEADER = Header(EPOCH, read_point=100, oldest=100, expiry=NEVER, cost=0, tags=b"")
EMPTY = Found(None, b"", EPOCH, 90, 0)
HELD = steps.Begun(EPOCH, 100, holder="another")
LEADS = steps.Begun(EPOCH, 100, token="mine")


def visit(found: Found | None = EMPTY, verdict: Verdict = Verdict.MISSING, **more: Any) -> Visit:
    policy = Policy(wait=more.pop("wait", 5), grace=more.pop("grace", 0))
    spec = Spec("default", "k", "function", "f", policy, pickles)
    return Visit(spec, found, verdict, Job(), time.monotonic(), 105, **more)


def produced(step: Produce) -> Produced:
    begun = step.begun
    header = HEADER._replace(read_point=begun.read_point, epoch=begun.epoch) if begun else HEADER._replace(epoch=b"")
    return Produced("value", header, b"payload", NEVER)


class Stage:
    """Answers a plan's steps by their kind; what it is told to raise it throws."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            "Begin": LEADS,
            "Produce": produced,
            "Save": steps.Saved(EPOCH, 0),
            "Release": None,
            "Wait": True,
            "Load": EMPTY,
            **answers,
        }
        self.asked: list[str] = []

    def play(self, errand: Visit, flights: Flights | None = None) -> Answer:
        """Carry a plan out."""
        plan = renew(errand, flights or Flights())
        reply: Any = None
        try:
            step = next(plan)
            while True:
                name = type(step).__name__
                self.asked.append(name)
                reply = self.answers[name]
                if isinstance(reply, list):
                    reply = reply.pop(0) if len(reply) > 1 else reply[0]
                if callable(reply):
                    reply = reply(step)
                step = plan.throw(reply) if isinstance(reply, BaseException) else plan.send(reply)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def test_a_leader_computes_and_stores() -> None:
    stage = Stage()

    answer = stage.play(visit())

    assert (answer.value, answer.computed, answer.born_stale) == ("value", True, False)
    assert stage.asked == ["Begin", "Produce", "Save"]


@pytest.mark.parametrize("saved", [steps.Saved(EPOCH, 101), steps.Saved(b"epoch-02", 0), steps.Saved(EPOCH, NEVER)])
def test_what_was_invalidated_meanwhile_is_born_stale(saved: steps.Saved) -> None:
    assert Stage(Save=saved).play(visit()).born_stale


def test_the_value_of_another_process_is_waited_for() -> None:
    stage = Stage(Begin=HELD, Load=Found(HEADER, b"theirs", EPOCH, 120, 0))

    answer = stage.play(visit())

    assert (answer.payload, answer.computed, answer.read_point) == (b"theirs", False, 120)
    assert stage.asked == ["Begin", "Wait", "Load"]


def test_a_value_begun_after_ours_will_do_though_it_is_stale_by_now() -> None:
    stage = Stage(Begin=HELD, Load=Found(HEADER._replace(read_point=101), b"theirs", EPOCH, 120, 110))

    answer = stage.play(visit())

    assert (answer.payload, answer.read_point) == (b"theirs", 101)


@pytest.mark.parametrize(
    "found",
    [
        Found(HEADER._replace(read_point=100), b"", EPOCH, 120, 110),
        Found(HEADER._replace(epoch=b"epoch-02"), b"", EPOCH, 120, 0),
        EMPTY,
    ],
    ids=["begun before us and invalidated", "another epoch", "nothing"],
)
def test_other_values_do_not_and_the_lease_is_ours_next(found: Found) -> None:
    stage = Stage(Begin=[HELD, LEADS], Load=found)

    assert stage.play(visit()).computed
    assert stage.asked == ["Begin", "Wait", "Load", "Begin", "Produce", "Save"]


def test_waiting_for_a_holder_ends() -> None:
    stage = Stage(Begin=HELD, Wait=lambda step: time.sleep(step.seconds))

    assert stage.play(visit(wait=0.05)).computed
    assert stage.asked[-2:] == ["Produce", "Save"]


@pytest.mark.parametrize(("verdict", "grace", "expiry"), [(Verdict.EARLY, 0, 200 * SECOND), (Verdict.EXPIRED, 10, 100)])
def test_an_older_value_is_served_while_another_process_renews_it(verdict: Verdict, grace: int, expiry: int) -> None:
    found = Found(HEADER._replace(expiry=expiry), b"older", EPOCH, 104, 0)
    stage, flights = Stage(Begin=HELD), Flights()

    answer = stage.play(visit(found, verdict, grace=grace), flights)

    assert (answer.payload, answer.read_point) == (b"older", 104)
    assert stage.asked == ["Begin"]
    assert not flights.is_shunned(("default", "k"))


def test_who_wants_it_renewed_does_not_take_what_was_there() -> None:
    there = Found(HEADER._replace(read_point=50), b"there", EPOCH, 120, 0)
    stage = Stage(Begin=[HELD, LEADS], Load=there)

    assert stage.play(visit(renews=True)).computed


def test_a_store_that_is_not_believed_is_neither_looked_at_nor_waited_for() -> None:
    flights = Flights()
    flight, _ = flights.enter(("default", "k"), Job())
    flights.land(("default", "k"), flight, Outcome(0.0, HEADER))
    stage = Stage(Begin=HELD, Load=Found(HEADER, b"theirs", EPOCH, 120, 0))

    assert stage.play(visit(None), flights).computed
    assert stage.asked == ["Begin", "Produce", "Save"]


def test_who_becomes_leader_just_after_another_looks_again() -> None:
    flights = Flights()
    flight, _ = flights.enter(("default", "k"), Job())
    flights.land(("default", "k"), flight, Outcome(0.0, HEADER))
    stage = Stage(Load=Found(HEADER, b"just stored", EPOCH, 120, 0))

    assert stage.play(visit(), flights).payload == b"just stored"
    assert stage.asked == ["Load"]


AWAY = StoreUnavailable("away")


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({"Begin": AWAY}, ["Begin", "Produce"]),
        ({"Save": AWAY}, ["Begin", "Produce", "Save"]),
        ({"Begin": HELD, "Wait": AWAY}, ["Begin", "Wait", "Produce"]),
        ({"Begin": HELD, "Load": AWAY}, ["Begin", "Wait", "Load", "Produce"]),
    ],
)
def test_a_store_that_goes_away_at_any_step_fails_nobody(answers: dict[str, Any], asked: list[str]) -> None:
    stage = Stage(**answers)

    assert stage.play(visit()).value == "value"
    assert stage.asked == asked


def test_a_value_that_is_not_stored_gives_its_lease_back_and_is_shunned() -> None:
    stage, flights = Stage(Produce=Produced("private", None, b"", NEVER)), Flights()

    assert stage.play(visit(), flights).value == "private"
    assert stage.asked == ["Begin", "Produce", "Release"]
    assert flights.is_shunned(("default", "k"))


@pytest.mark.parametrize("error", [KeyError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("release", [None, AWAY])
def test_an_error_gives_the_lease_back_and_lands_the_flight(error: BaseException, release: Any) -> None:
    stage, flights = Stage(Produce=error, Release=release), Flights()

    with pytest.raises(type(error)):
        stage.play(visit(), flights)

    assert stage.asked == ["Begin", "Produce", "Release"]
    assert flights.enter(("default", "k"), Job())[1], "the next one leads"


def test_a_plan_that_is_dropped_lands_its_flight() -> None:
    flights = Flights()
    plan = renew(visit(), flights)
    next(plan)
    flight, _ = flights.enter(("default", "k"), Job())

    plan.close()

    assert flight.future.done()


def joining(outcome: Outcome | Callable[[Join], Any] | None, errand: Visit) -> tuple[Answer, list[str]]:
    """Join a flight that lands with this outcome."""
    flights = Flights()
    flight, _ = flights.enter(("default", "k"), Job())

    def land(step: Join) -> Any:
        flights.close(("default", "k"), flight)
        return outcome

    stage = Stage(Join=land)
    return stage.play(errand, flights), stage.asked


def test_a_joined_value_serves() -> None:
    answer, asked = joining(Outcome(0.0, HEADER, b"shared"), visit())

    assert (answer.payload, asked) == (b"shared", ["Join"])


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        Outcome(0.0),
        Outcome(0.0, refused=True),
        Outcome(0.0, HEADER._replace(read_point=89)),
        Outcome(0.0, error=KeyError("before")),
    ],
    ids=["time is up", "its leader gave up", "private", "begun before a write", "an error of before"],
)
def test_a_joined_value_that_does_not_serve_is_computed_anew(outcome: Outcome | None) -> None:
    answer, asked = joining(outcome, visit())

    assert answer.value == "value"
    assert asked == ["Join", "Begin", "Produce", "Save"]


def test_who_is_not_told_by_a_store_takes_only_what_began_later() -> None:
    answer, _ = joining(Outcome(0.0, HEADER, b"shared", proven=True), visit(None))
    assert answer.value == "value"

    answer, _ = joining(Outcome(time.monotonic() + 60, HEADER, b"shared"), visit(None))
    assert answer.payload == b"shared"


def test_an_error_of_later_is_everybodys() -> None:
    with pytest.raises(KeyError, match="later"):
        joining(Outcome(time.monotonic() + 60, error=KeyError("later")), visit())


def test_a_lease_is_as_long_as_the_computation_usually_takes_within_bounds() -> None:
    def lease(cost: float) -> float:
        asked: list[float] = []

        def begin(step: steps.Begin) -> steps.Begun:
            asked.append(step.lease)
            return LEADS

        found = EMPTY._replace(header=HEADER._replace(cost=int(cost * SECOND)))
        Stage(Begin=begin).play(visit(found, Verdict.STALE))
        return asked[0]

    assert [lease(0.001), lease(2), lease(3600)] == [1.0, 8.0, 30.0]


def test_what_reads_a_snapshot_neither_leads_nor_joins_and_takes_no_lease() -> None:
    flights, begun = Flights(), []
    mine = visit(private=True)
    flight, _ = flights.enter(mine.ident, Job())

    def begins(step: Any) -> Any:
        begun.append(step.lease)
        return LEADS

    stage = Stage(Begin=begins)

    assert stage.play(mine, flights).computed

    assert stage.asked == ["Begin", "Produce", "Save"]
    assert begun == [0]
    assert not flight.future.done()


def lagging(step: Produce) -> Produced:
    """Produce what a replica shows, until the primary is asked for."""
    made = produced(step)
    return made if step.primary else made._replace(value="the replica's", lags=True)


def test_what_a_replica_shows_is_handed_out_if_it_is_fresh() -> None:
    stage = Stage(Produce=lagging)

    assert stage.play(visit()).value == "the replica's"
    assert stage.asked == ["Begin", "Produce", "Save"]


@pytest.mark.parametrize("saved", [steps.Saved(EPOCH, 101), StoreUnavailable("away")], ids=["stale", "nobody knows"])
def test_what_a_replica_shows_is_computed_again_on_the_primary_if_it_is_not(saved: Any) -> None:
    stage = Stage(Produce=lagging, Save=[saved, steps.Saved(EPOCH, 0)])

    answer = stage.play(visit())

    assert (answer.value, answer.born_stale) == ("value", False)
    assert stage.asked == ["Begin", "Produce", "Save", "Begin", "Produce", "Save"]


def test_what_a_replica_shows_is_no_news_to_those_who_wait_where_its_leader_is_cancelled() -> None:
    flights, mine = Flights(), visit()
    plan = renew(mine, flights)
    assert isinstance(next(plan), steps.Begin)
    step = plan.send(LEADS)
    flight, leads = flights.enter(mine.ident, Job())
    assert isinstance(plan.send(lagging(step)), steps.Save)

    plan.close()

    assert not leads
    assert not flight.future.result(0).is_news(mine.arrived)
