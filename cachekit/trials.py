"""Compute once more what the cache would serve, compare, and where both differ find out why."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import connections, transaction
from django.http import Http404

from cachekit import computing
from cachekit.comparing import same
from cachekit.core import steps
from cachekit.core.capture import Capture, current
from cachekit.core.codecs import Undecodable
from cachekit.core.entry import Found, Header, Verdict, judge
from cachekit.core.plans import Answer, Plan, Produce, Produced, Visit
from cachekit.core.policy import Spec
from cachekit.exceptions import StoreUnavailable
from cachekit.invalidation import pending
from cachekit.stores import Store

GONE = (Http404, ObjectDoesNotExist)
"""A computation that raises these says that what the cache would serve is not there; other errors say nothing."""


class Trial:
    """One comparison: what the cache would serve, and what came of it.

    `result` is match, mismatch, raced (it was invalidated meanwhile), unsteady (it differs each time by itself) or
    skipped (there was nothing to compare with). `own` is how many of the computations are the caller's own business:
    those after are kept from harming the transaction around them.
    """

    def __init__(self, spec: Spec, served: Answer, *, own: int = 0) -> None:
        self.spec = spec
        self.served = served
        self.result = "skipped"
        self.on_primary = not own
        """Whether to compute on the primary, as a lagging replica has nothing to say; the caller's own goes its way."""
        self._own = own
        self._capture: Capture | None = None

    def noting(self, produce: Callable[[], Any]) -> Callable[[], Any]:
        """Return a computation that is watched."""

        def run() -> Any:
            self._capture, self._own = current.get(), self._own - 1
            with _sheltered() if self._own < 0 else nullcontext():
                return produce()

        return run

    def anoting(self, produce: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        """Like `noting`; no transaction is open where something is awaited."""

        async def run() -> Any:
            self._capture = current.get()
            return await produce()

        return run

    def is_comparable(self, begun: steps.Begun | None) -> bool:
        """Tell whether what was computed is known to be no older than what the cache would serve."""
        header, capture = self.served.header, self._capture
        if begun is None or header is None or capture is None or not self.spec.policy.audit:
            return False
        return not capture.taint and capture.epoch == header.epoch and capture.read_point >= header.read_point

    def is_like(self, produced: Produced) -> bool | None:
        """Compare; None where what was computed cannot be stored and so cannot be compared."""
        served, fresh = self.served.value, self._value(produced)
        if self._capture is not None and self._capture.refusal:
            return False if getattr(fresh, "status_code", 200) != getattr(served, "status_code", 200) else None
        return same(served, fresh)

    def are_alike(self, one: Produced, other: Produced) -> bool:
        """Tell whether two computations came to the same."""
        return same(self._value(one), self._value(other))

    def _value(self, produced: Produced) -> Any:
        """Return a computed value as it would come out of the cache."""
        try:
            return self.spec.codec.loads(produced.payload) if produced.payload else produced.value
        except Undecodable:
            return produced.value


def visit_of(store: Store, spec: Spec) -> Visit:
    """Return the errand of one who computes for themselves."""
    return Visit(spec, None, Verdict.MISSING, computing.my_job(), time.monotonic(), store.now())


def compared(visit: Visit, trial: Trial) -> Plan:
    """Compute, compare with what the cache would serve, and return what was computed."""
    begun = yield from _begin(visit)
    try:
        produced: Produced = yield Produce(begun, 0, trial.on_primary)
    except GONE:
        if trial.is_comparable(begun):
            trial.result = yield from _standing(visit.spec, trial.served.header, "mismatch")
        raise
    if trial.is_comparable(begun):
        alike = trial.is_like(produced)
        trial.result = "match" if alike else "skipped" if alike is None else (yield from _why(visit, trial, produced))
    return Answer(visit.verdict, produced.header, value=produced.value, computed=True)


def _begin(visit: Visit) -> Generator[Any, Any, steps.Begun | None]:
    try:
        begun: steps.Begun = yield steps.Begin(visit.spec.key)
    except StoreUnavailable:
        return None
    return begun


def _why(visit: Visit, trial: Trial, first: Produced) -> Generator[Any, Any, str]:
    """Compute a second time: what differs from itself says nothing about the cache."""
    begun = yield from _begin(visit)
    try:
        second: Produced = yield Produce(begun, 0, primary=True)
    except Exception:  # noqa: BLE001 - it went well a moment ago: whatever this is, the cache is not to blame
        return "skipped"
    steady = trial.are_alike(first, second)
    return (yield from _standing(visit.spec, trial.served.header, "mismatch" if steady else "unsteady"))


def _standing(spec: Spec, header: Header | None, otherwise: str) -> Generator[Any, Any, str]:
    """Return `raced` where the entry would no longer be served: something was written while it was compared."""
    try:
        found: Found = yield steps.Load(spec.key)
    except StoreUnavailable:
        return "skipped"
    return otherwise if is_standing(spec.alias, found, header) else "raced"


def is_standing(alias: str, found: Found, header: Header | None) -> bool:
    """Tell whether this very entry is still there, and no tag of it has been invalidated."""
    here = found.header
    if here is None or header is None or (here.epoch, here.read_point) != (header.epoch, header.read_point):
        return False
    return judge(found, 0) is not Verdict.STALE and not pending(alias)


@contextmanager
def _sheltered() -> Iterator[None]:
    """Keep an error of the database from ending the transaction that the visitor's request is in."""
    with ExitStack() as savepoints:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block and not connection.needs_rollback:
                savepoints.enter_context(transaction.atomic(using=connection.alias))
        yield
