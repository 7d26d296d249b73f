"""Answer many questions of one kind at once: one look at the store, one computation for all that is missing."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

from cachekit import computing, hooks
from cachekit.conf import conf
from cachekit.core import steps, tags
from cachekit.core.capture import Capture, capturing, current
from cachekit.core.codecs import Undecodable
from cachekit.core.entry import NEVER, Found, Header, Verdict, judge, seal
from cachekit.core.policy import Spec
from cachekit.exceptions import StoreUnavailable, UncacheableValue
from cachekit.invalidation import acatch_up, catch_up, pending
from cachekit.modes import mode
from cachekit.near import Brought, Near, brought, near_for, taken
from cachekit.stores import Store, store_for

Made = tuple[Any, Sequence[str]]
"""A value with the tags that it depends on."""
Plan = Generator[Any, Any, list[Any] | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """Places of the questions that must be computed; answered with a `Made` for each."""

    places: tuple[int, ...]
    capture: Capture


def gather(specs: Sequence[Spec], produce: Callable[[tuple[int, ...]], Sequence[Made]]) -> list[Any] | None:
    """Return the values of specs of one alias and policy; None where each must be asked for by itself.

    `produce` is given the places of those that are missing. None is where doors do not answer as usual: in shadow
    mode, in a transaction that has written or reads a snapshot, while the store is away. Nothing here is audited.
    """
    if _is_unusual():
        return None
    store = store_for(specs[0].alias)
    plan, answer = _plan(specs, store), None
    try:
        if store.suspect or pending(store.alias):
            catch_up(store)
        while True:
            step = plan.send(answer)
            if isinstance(step, Missing):
                with capturing(step.capture):
                    answer = produce(step.places)
            else:
                answer = store.do(step)
    except StopIteration as end:
        values: list[Any] | None = end.value
        return values
    except StoreUnavailable:
        return None


async def agather(
    specs: Sequence[Spec], produce: Callable[[tuple[int, ...]], Awaitable[Sequence[Made]]]
) -> list[Any] | None:
    """Like `gather`."""
    if _is_unusual():
        return None
    store = store_for(specs[0].alias)
    plan, answer = _plan(specs, store), None
    try:
        if store.suspect or pending(store.alias):
            await acatch_up(store)
        while True:
            step = plan.send(answer)
            if isinstance(step, Missing):
                with capturing(step.capture):
                    answer = await produce(step.places)
            else:
                answer = await store.ado(step)
    except StopIteration as end:
        values: list[Any] | None = end.value
        return values
    except StoreUnavailable:
        return None


def _is_unusual() -> bool:
    given = conf()
    if mode.get() or not given.ENABLED or given.SHADOW:
        return True
    return bool(computing.dirty_tags()) or computing.snapshot() is not None


def _plan(specs: Sequence[Spec], store: Store) -> Plan:
    """Look, judge, have what is missing computed at once, and store it."""
    near = near_for(store.alias) if specs[0].policy.near and computing.tracks() else None
    values = [None if near is None else _held(near, spec) for spec in specs]
    found: dict[int, Found] = {}
    if absent := [at for at, value in enumerate(values) if value is None]:
        loaded = yield steps.LoadMany(tuple(specs[at].key for at in absent))
        found = dict(zip(absent, loaded, strict=True))
    now = store.now()
    for at, one in found.items():
        values[at] = _value(specs[at], one, now, near)
    places = tuple(at for at in found if values[at] is None)
    if places:
        first = found[places[0]]
        begun = steps.Begun(first.epoch, first.last)
        if not first.epoch or first.since:
            begun = yield steps.Begin(specs[places[0]].key)
        store.samples.note(time.monotonic(), begun.epoch, begun.read_point)
        capture = Capture(begun.epoch, begun.read_point, specs[0].policy.tags, store.samples)
        capture.began = max(begun.read_point, now)
        made: Sequence[Made] = yield Missing(places, capture)
        capture.close()
        saves = []
        for at, (value, names) in zip(places, made, strict=True):
            values[at] = value
            if (save := _save(specs[at], capture, value, names)) is not None:
                saves.append((save, found[at]))
        plain = tuple(save for save, one in saves if one.newest != NEVER)
        if plain:
            yield steps.SaveMany(plain)
        for save, one in saves:
            if one.newest == NEVER:  # a bucket was lost: this step mends it
                yield save
    return values


def _held(near: Near, spec: Spec) -> Any:
    """Return what this process holds and knows to be fresh, counted and handed on; None for what the store is asked."""
    kept = taken(near, spec.key)
    if kept is None:
        return None
    if (outer := current.get()) is not None:
        outer.take_in(kept.header, kept.upto)
    hooks.tell(hooks.Lookup(spec.alias, spec.door, spec.name, "hit"))
    return kept.value


def _value(spec: Spec, found: Found, now: int, near: Near | None) -> Any:
    """Return a fresh value, counted, its dependencies handed on; None for what must be computed."""
    header = found.header
    dice = (1 - random.random()) ** spec.policy.beta  # noqa: S311 - no secret
    verdict = judge(found, now, dice)
    value = None
    if header is not None and verdict is Verdict.FRESH:
        try:
            value = spec.codec.loads(found.payload)
        except Undecodable:
            verdict = Verdict.MISSING
    hooks.tell(hooks.Lookup(spec.alias, spec.door, spec.name, "hit" if value is not None else _word(verdict)))
    outer = current.get()
    if value is None or header is None:
        return None
    upto = max(header.read_point, found.last)
    if outer is not None:
        outer.take_in(header, upto)
    if near is not None:
        given = Brought(value, found.payload, spec.codec, now, spec.policy.beta, spec.policy.near)
        value = brought(near, spec.key, header, upto, given)
    return value


def _word(verdict: Verdict) -> str:
    return "miss" if verdict in (Verdict.FRESH, Verdict.EARLY) else verdict.value


def _save(spec: Spec, capture: Capture, value: Any, names: Sequence[str]) -> steps.Save | None:
    """Return how to store a value; hand what it depends on to the computation around, stored or not."""
    seconds = spec.policy.lifetime(value, random.random())  # noqa: S311 - no secret
    expiry = min(NEVER if seconds == float("inf") else capture.began + int(seconds * 1_000_000), capture.expiry)
    blob = tags.merge([*names, *spec.policy.tags], ())
    header = Header(capture.epoch, capture.read_point, capture.oldest, expiry, 0, blob)
    outer = current.get()
    if outer is not None:
        if capture.taint:
            outer.spoil(capture.taint)
        outer.take_in(header, capture.read_point)
        outer.lags = outer.lags or capture.lags
    try:
        payload = b"" if capture.obstacle or computing.dirty_tags() else spec.codec.dumps(value)
    except UncacheableValue as error:
        hooks.tell(hooks.Refused(spec.alias, spec.door, spec.name, str(error)))
        return None
    if not payload or len(payload) > conf().MAX_VALUE_BYTES:
        return None
    ttl = 0 if expiry == NEVER else max((expiry - capture.began) // 1000, 1)
    return steps.Save(spec.key, seal(header, payload), ttl, blob)
