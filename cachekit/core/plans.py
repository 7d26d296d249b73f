"""How a value is computed and stored, written once: a plan yields steps, is sent their answers, returns the result."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any, NamedTuple

from cachekit.core import steps
from cachekit.core.entry import NEVER, Found, Header, Verdict, judge, seal
from cachekit.core.flights import Flight, Flights, Job, Outcome
from cachekit.core.policy import Spec
from cachekit.exceptions import StoreUnavailable

SHORTEST_LEASE = 1.0
LONGEST_LEASE = 30.0
SLICE = 1.0
"""A waiter looks up this often (seconds) whether the holder of the lease is still alive."""


class Produce(NamedTuple):
    """Compute the value; answered with `Produced`."""

    begun: steps.Begun | None
    lease: float
    primary: bool = False
    """Whether it is to be read from primaries, since a replica's was too old."""


class Join(NamedTuple):
    """Wait for a flight of this process; answered with its `Outcome`, or None when time is up."""

    flight: Flight
    seconds: float


class Produced(NamedTuple):
    """A computed value; `header` is None where it must not be stored or shared."""

    value: Any
    header: Header | None
    payload: bytes
    ttl: int
    lags: bool = False
    """Whether a replica was read, so that only the ledger can tell whether it is fresh."""


class Answer(NamedTuple):
    """What a plan returns: a value just computed, or an envelope still to be decoded."""

    verdict: Verdict
    header: Header | None
    read_point: int = 0
    payload: bytes = b""
    value: Any = None
    computed: bool = False
    born_stale: bool = False


class Visit(NamedTuple):
    """One reader's errand: what it wants, what it found, and when it came."""

    spec: Spec
    found: Found | None
    """None: the store could not be asked, or has not got all that this process has invalidated; it is not believed."""
    verdict: Verdict
    job: Job
    arrived: float
    now: int
    renews: bool = False
    """Whether it wants a computation that begins now, whatever is there."""
    private: bool = False
    """Whether it is computed from a snapshot: nobody waits for it, and it waits for nobody."""

    @property
    def ident(self) -> tuple[str, str]:
        """Return the name of the flight."""
        return self.spec.alias, self.spec.key

    @property
    def spare(self) -> Answer | None:
        """Return the entry found, if it may be served while somebody else renews it."""
        found, grace = self.found, self.spec.policy.grace
        if found is None or found.header is None:
            return None
        late = self.verdict is Verdict.EXPIRED and self.now < found.header.expiry + int(grace * 1_000_000)
        if self.verdict is Verdict.EARLY or late:
            return Answer(self.verdict, found.header, max(found.header.read_point, found.last), found.payload)
        return None


Plan = Generator[Any, Any, Answer]


def renew(visit: Visit, flights: Flights) -> Plan:
    """Get a value that is not there: join who computes it already, or compute it under a lease."""
    deadline = visit.arrived + visit.spec.policy.wait
    alike = not visit.private and not flights.is_shunned(visit.ident)
    chances = 2 if alike else 0  # the second computation began after we came: it serves
    while chances:
        flight, leads = flights.enter(visit.ident, visit.job)
        if leads:
            return (yield from _lead(visit, flights, flight))
        if visit.spare is not None:
            return visit.spare
        outcome = yield from _joined(visit, flights, flight, deadline - time.monotonic())
        if outcome is None or outcome.refused:
            break
        if _suits(visit, outcome):
            return _landed(visit, outcome)
        chances -= 1 if outcome.header or outcome.error else 0  # a leader that gave up leaves its place to another
    return (yield from alone(visit))


def alone(visit: Visit) -> Plan:
    """Compute and store, without waiting for anybody and without anybody waiting."""
    begun = yield from _begin(visit, 0)
    return (yield from _compute(visit, begun, lambda _: None))


def _joined(visit: Visit, flights: Flights, flight: Flight, seconds: float) -> Generator[Any, Any, Outcome | None]:
    """Wait for a flight; None when it took too long, or if waiting for it would never end."""
    if seconds <= 0 or not flights.may_wait(flight, visit.job):
        return None
    try:
        outcome: Outcome | None = yield Join(flight, seconds)
    finally:
        flights.waited(flight, visit.job)
    return outcome


def _suits(visit: Visit, outcome: Outcome) -> bool:
    found = visit.found
    if found is None or visit.renews:
        return outcome.is_news(visit.arrived)
    return outcome.serves(found.epoch, found.last, visit.arrived)


def _landed(visit: Visit, outcome: Outcome) -> Answer:
    if outcome.error is not None:
        raise outcome.error
    header = outcome.header
    return Answer(visit.verdict, header, header.read_point if header else 0, outcome.payload)


def _lead(visit: Visit, flights: Flights, flight: Flight) -> Plan:
    """Compute for every reader of this process, unless another process does so already."""
    outcome = Outcome(time.monotonic())

    def share(told: Outcome) -> None:
        nonlocal outcome
        outcome = told
        flights.close(visit.ident, flight)

    try:
        begun = _as_found(visit)
        present = None if begun else (yield from _look_again(visit, flights))
        if present is None and begun is None:
            begun = yield from _begin(visit, _lease(visit))
        if begun is not None and begun.holder and visit.found is not None:
            if visit.spare is not None:
                return visit.spare  # judged before the others came, so it is not theirs
            present, begun = yield from _await_holder(visit, begun)
        if present is None:
            return (yield from _compute(visit, begun, share))
    except Exception as error:
        outcome = Outcome(outcome.started, error=error)
        raise
    else:
        header = present.header and present.header._replace(read_point=present.read_point)
        share(Outcome(outcome.started, header, present.payload))
        return present
    finally:
        if outcome.refused:
            flights.shun(visit.ident)
        flights.land(visit.ident, flight, outcome)


def _as_found(visit: Visit) -> steps.Begun | None:
    """Return the read point that the look at the ledger is worth, where processes do not take turns.

    It is the ledger's last time: whatever is invalidated later gets a later point.
    """
    found = visit.found
    if visit.spec.policy.lease or found is None or not (found.epoch and found.last) or found.since:
        return None
    return steps.Begun(found.epoch, found.last)


def _look_again(visit: Visit, flights: Flights) -> Generator[Any, Any, Answer | None]:
    """Return what has come to be there since this visit looked; nothing if nobody computed it lately."""
    if visit.found is None or visit.renews or not flights.landed_lately(visit.ident):
        return None
    try:
        found: Found = yield steps.Load(visit.spec.key)
    except StoreUnavailable:
        return None
    is_new = found.header != visit.found.header  # what was there could not be read, or is due
    return _present(visit, found) if is_new and judge(found, visit.now) is Verdict.FRESH else None


def _present(visit: Visit, found: Found) -> Answer | None:
    """Return a fresh entry, dated to the check."""
    header = found.header
    return header and Answer(visit.verdict, header, max(header.read_point, found.last), found.payload)


def _await_holder(visit: Visit, begun: steps.Begun) -> Generator[Any, Any, tuple[Answer | None, steps.Begun | None]]:
    """Wait for the process that holds the lease; take its result, or its lease if it died."""
    came, until = begun, time.monotonic() + visit.spec.policy.wait
    while begun.holder and (left := until - time.monotonic()) > 0:
        try:
            yield steps.Wait(begun.holder, min(left, SLICE))
            found: Found = yield steps.Load(visit.spec.key)
            if not visit.renews and judge(found, visit.now) is Verdict.FRESH:
                return _present(visit, found), None
            header = found.header
            if header is not None and header.epoch == came.epoch and header.read_point > came.read_point:
                return Answer(visit.verdict, header, header.read_point, found.payload), None
            begun = yield steps.Begin(visit.spec.key, _lease(visit))
        except StoreUnavailable:
            return None, None
    return None, begun


def _begin(visit: Visit, lease: float) -> Generator[Any, Any, steps.Begun | None]:
    with suppress(StoreUnavailable):
        begun: steps.Begun = yield steps.Begin(visit.spec.key, lease)
        return begun
    return None


def _compute(visit: Visit, begun: steps.Begun | None, share: Any) -> Plan:
    """Produce, share with those who wait, store; a value that cannot be stored is handed out all the same.

    One that was read from a replica is handed out if the ledger calls it fresh, else computed again on the primary.
    """
    produced, saved = yield from _attempt(visit, begun, share, primary=False)
    if produced.lags and not _is_fresh(produced.header, saved):
        begun = yield from _begin(visit, 0)
        produced, saved = yield from _attempt(visit, begun, share, primary=True)
    header = produced.header
    answer = Answer(visit.verdict, header, header.read_point if header else 0, value=produced.value, computed=True)
    return answer._replace(born_stale=saved is not None and not _is_fresh(header, saved))


def _attempt(
    visit: Visit, begun: steps.Begun | None, share: Any, *, primary: bool
) -> Generator[Any, Any, tuple[Produced, steps.Saved | None]]:
    """Produce, share and store; return what the store said of it, None if it was not asked or is away."""
    started = time.monotonic()
    token = begun.token if begun else ""
    try:
        produced: Produced = yield Produce(begun, _lease(visit), primary)
    except GeneratorExit:  # nobody drives this plan any more
        raise
    except BaseException:
        yield from _release(visit, token)
        raise
    header = produced.header
    started = -math.inf if produced.lags else started  # what a replica shows is no news, whenever it was asked
    share(Outcome(started, header, produced.payload, refused=header is None))
    if header is None or begun is None or not produced.ttl:
        yield from _release(visit, token)
        return produced, None
    data, ttl = seal(header, produced.payload, visit.spec.key), 0 if produced.ttl == NEVER else produced.ttl
    try:
        waits = visit.spec.policy.lease or produced.lags or visit.found is None or visit.found.newest == NEVER
        saved: steps.Saved | None = yield steps.Save(visit.spec.key, data, ttl, header.tags, token, waits)
    except StoreUnavailable:
        return produced, None
    except GeneratorExit:
        raise
    except BaseException:  # a task is cancelled: others wait for its lease
        yield from _release(visit, token)
        raise
    if saved is not None:
        share(Outcome(started, header, produced.payload, proven=_is_fresh(header, saved)))
    return produced, saved


def _is_fresh(header: Header | None, saved: steps.Saved | None) -> bool:
    """Tell whether the store called what was just stored fresh."""
    if header is None or saved is None:
        return False
    return saved.epoch == header.epoch and saved.newest <= header.read_point


def _release(visit: Visit, token: str) -> Generator[Any, Any, None]:
    with suppress(StoreUnavailable):  # the lease ends by itself
        if token:
            yield steps.Release(visit.spec.key, token)


def _lease(visit: Visit) -> float:
    """Return how long the computation usually takes, with room."""
    usual = visit.found.header.cost / 1_000_000 if visit.found and visit.found.header else 0
    return min(max(4 * usual, SHORTEST_LEASE), LONGEST_LEASE)
