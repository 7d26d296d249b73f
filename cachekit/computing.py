"""Carry out plans: ask the store, wait for neighbours, and compute with the ORM's reads captured."""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from asgiref.sync import SyncToAsync

from cachekit import hooks
from cachekit.conf import conf
from cachekit.core import dependencies, steps
from cachekit.core.capture import Capture, capturing, current, reading_primaries
from cachekit.core.contexts import put_back, unbroken
from cachekit.core.entry import NEVER, Header
from cachekit.core.flights import Flight, Job, Outcome, chain, running_loop
from cachekit.core.plans import Answer, Join, Plan, Produce, Produced, Visit
from cachekit.encoding import aencoded, encoded
from cachekit.stores import Store
from cachekit.stores.leases import Keeper

MAX_TAGS_BYTES = 60_000

keeper = Keeper()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=keeper.forget)
job: ContextVar[Job | None] = ContextVar("cachekit_job", default=None)
"""The outermost computation of this context."""
dirty_tags: Callable[[], Collection[str]] = tuple
"""Asks for the tags that the transactions open here have written; the ORM's room plugs itself in."""


def _no_snapshot() -> float | None:
    return None


snapshot: Callable[[], float | None] = _no_snapshot
"""Asks for a moment (monotonic) before the oldest snapshot that transactions open here read; plugged in as above."""


apart: Callable[[], bool] = bool
"""Asks whether an open transaction has written, has locked rows or reads a snapshot; plugged in as above."""


def plug(
    dirty: Callable[[], Collection[str]], oldest: Callable[[], float | None], transacting: Callable[[], bool]
) -> None:
    """Say who knows what open transactions have written, since when they see nothing new, whether any is special."""
    global dirty_tags, snapshot, apart
    dirty_tags, snapshot, apart = dirty, oldest, transacting


def tracks() -> bool:
    """Tell whether what is read here may be judged by the mirror.

    Not in a transaction that has written or locked rows, nor for what must be computed from what the store has checked.
    """
    if apart():
        return False
    outer = current.get()
    return outer is None or not outer.strict


def my_job() -> Job:
    """Return the job that this is a part of, or a new one."""
    mine = job.get()
    return Job() if mine is None or mine.over else mine


class Made(NamedTuple):
    """What one step of a plan has computed."""

    step: Produce
    capture: Capture
    produced: Produced


def run(store: Store, plan: Plan, visit: Visit, produce: Callable[[], Any]) -> Answer:
    """Carry out a plan."""
    answer: Any = None
    error: BaseException | None = None
    made: list[Made] = []
    try:
        while True:
            step = plan.throw(error) if error is not None else plan.send(answer)
            answer = error = None
            try:
                match step:
                    case Produce():
                        answer = _produce(store, visit, step, produce, made)
                    case Join(flight, seconds):
                        answer = _join(flight, seconds)
                    case _:
                        answer = store.do(step)
            except BaseException as raised:  # noqa: BLE001 - the plan decides what it means
                error = raised
    except StopIteration as end:
        _handed_on(made)
        result: Answer = end.value
        return result


async def arun(store: Store, plan: Plan, visit: Visit, produce: Callable[[], Awaitable[Any]]) -> Answer:
    """Like `run`."""
    answer: Any = None
    error: BaseException | None = None
    made: list[Made] = []
    try:
        while True:
            step = plan.throw(error) if error is not None else plan.send(answer)
            answer = error = None
            try:
                match step:
                    case Produce():
                        answer = await _aproduce(store, visit, step, produce, made)
                    case Join(flight, seconds):
                        answer = await _ajoin(flight, seconds)
                    case steps.Release():
                        await unbroken(store.ado(step))
                    case _:
                        answer = await store.ado(step)
            except GeneratorExit:  # this coroutine was dropped; so is the plan
                raise
            except BaseException as raised:  # noqa: BLE001 - the plan decides what it means
                error = raised
    except StopIteration as end:
        _handed_on(made)
        result: Answer = end.value
        return result


def _join(flight: Flight, seconds: float) -> Outcome | None:
    loop = running_loop() or getattr(SyncToAsync.threadlocal, "main_event_loop", None)
    if loop is not None and any(one.loop is loop for one in chain(flight)):
        # what we would wait for waits for a task of this very loop, which cannot go on meanwhile; or of the loop that
        # has lent us this thread, where it may ask the database next
        return None
    try:
        return flight.future.result(seconds)
    except FutureTimeout:
        return None


async def _ajoin(flight: Flight, seconds: float) -> Outcome | None:
    loop = asyncio.get_running_loop()
    landed = asyncio.Event()  # one of our own: a waiter that is cancelled takes nothing from the others

    def wake(_: object) -> None:
        try:
            loop.call_soon_threadsafe(landed.set)
        except RuntimeError:
            pass  # the loop ended before the flight

    flight.future.add_done_callback(wake)
    try:
        await asyncio.wait_for(landed.wait(), seconds)
    except TimeoutError:
        return None
    return flight.future.result()


def _produce(store: Store, visit: Visit, step: Produce, produce: Callable[[], Any], made: list[Made]) -> Produced:
    with _computing(store, visit, step) as (capture, started):
        value = produce()
        produced = _produced(visit, capture, started, value, encoded(visit.spec.codec, capture, value))
    return _noted(visit, Made(step, capture, produced), made)


async def _aproduce(
    store: Store, visit: Visit, step: Produce, produce: Callable[[], Awaitable[Any]], made: list[Made]
) -> Produced:
    with _computing(store, visit, step) as (capture, started):
        value = await produce()
        produced = _produced(visit, capture, started, value, await aencoded(visit.spec.codec, capture, value))
    return _noted(visit, Made(step, capture, produced), made)


@contextmanager
def _computing(store: Store, visit: Visit, step: Produce) -> Iterator[tuple[Capture, float]]:
    """Collect what is read inside, keep the lease alive, and let nobody of this job wait for itself."""
    begun, spec = step.begun, visit.spec
    point = begun.read_point if begun else 0
    capture = Capture(begun.epoch if begun else b"", point, spec.policy.tags, store.samples)
    capture.key, capture.volatile = spec.key, spec.policy.volatile
    capture.began = max(point, visit.now if not spec.policy.lease else 0)  # the ledger's last time may be long ago
    capture.depend(*spec.tags)
    outer_capture = current.get()
    capture.strict = not spec.policy.near or (outer_capture is not None and outer_capture.strict)
    if begun is not None and visit.found is not None and visit.found.epoch == begun.epoch:
        capture.changed = visit.found.newest
    token = begun.token if begun else ""

    def hold() -> bool:
        return bool(store.do(steps.Renew(spec.key, token, step.lease)))

    outermost, before = job.get() is not visit.job, job.set(visit.job)
    visit.job.over = False
    try:
        holding = keeper.keeping(step.lease if token else 0, hold)
        with holding, capturing(capture), reading_primaries(only=step.primary):
            yield capture, time.monotonic()
    finally:
        capture.close()
        visit.job.over = outermost
        put_back(job, before)


def _produced(visit: Visit, capture: Capture, started: float, value: Any, payload: bytes) -> Produced:
    """Put together what was computed and how it is kept."""
    spec = visit.spec
    if len(payload) > conf().MAX_VALUE_BYTES:
        capture.refuse(f"{len(payload):,} bytes are more than MAX_VALUE_BYTES ({conf().MAX_VALUE_BYTES:,})")
    if dirty_tags():
        capture.spoil("its transaction has written")
    header = _header(visit, capture, value, int((time.monotonic() - started) * 1_000_000))
    if len(header.tags) > MAX_TAGS_BYTES:
        capture.refuse(f"it depends on too many tags ({dependencies.count(header.tags):,})")
    ttl = NEVER
    if header.expiry != NEVER:
        ttl = max((header.expiry - capture.began) // 1000 + int(spec.policy.grace * 1000), 0)
    lags = capture.lags and (capture.undated or not capture.obstacle)
    return Produced(value, None if capture.obstacle else header, payload, ttl, lags)


def _header(visit: Visit, capture: Capture, value: Any, cost: int) -> Header:
    seconds = visit.spec.policy.lifetime(value, random.random())  # noqa: S311 - no secret
    expiry = NEVER if math.isinf(seconds) else capture.began + int(seconds * 1_000_000)
    return Header(
        epoch=capture.epoch,
        read_point=capture.read_point,
        oldest=capture.oldest,
        expiry=min(expiry, capture.expiry),
        cost=cost,
        tags=capture.tags,
    )


def _noted(visit: Visit, one: Made, made: list[Made]) -> Produced:
    """Keep what was computed for the computation around this one, in the place of what was too old."""
    spec, capture = visit.spec, one.capture
    if capture.obstacle:
        hooks.tell(hooks.Refused(spec.alias, spec.door, spec.name, capture.obstacle))
    if one.step.primary:
        made.clear()
    made.append(one)
    return one.produced


def _handed_on(made: list[Made]) -> None:
    """Tell the computation around this one what went into it."""
    outer = current.get()
    if outer is None:
        return
    for step, capture, produced in made:
        if step.begun is None:
            outer.spoil("the cache server is away")
        if capture.taint:
            outer.spoil(capture.taint)
        inner = Header(capture.epoch, capture.read_point, capture.oldest, capture.expiry, 0, capture.tags)
        outer.take_in(produced.header or inner, capture.read_point)
        outer.lags = outer.lags or capture.lags
