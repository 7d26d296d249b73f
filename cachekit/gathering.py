"""Answer many questions of one kind at once: one look at the store, one computation for all that is missing."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from cachekit import computing, hooks
from cachekit.conf import conf
from cachekit.core import steps, tags
from cachekit.core.capture import Capture, capturing, current, reading_primaries
from cachekit.core.codecs import Undecodable
from cachekit.core.entry import NEVER, Found, Header, Verdict, judge, seal
from cachekit.core.missing import MISSING
from cachekit.core.plans import Answer
from cachekit.core.policy import Spec
from cachekit.exceptions import StoreUnavailable, UncacheableValue
from cachekit.invalidation import acatch_up, catch_up, pending
from cachekit.memos import Memo
from cachekit.modes import mode
from cachekit.near import Brought, Near, brought, near_for, taken
from cachekit.stores import Store, store_for

Made = tuple[Any, Sequence[str]] | tuple[Any, Sequence[str], Capture]
"""A value with the tags that it depends on; one that was made apart from the others with what was captured of it."""
Plan = Generator[Any, Any, list[Any] | None]
UNKNOWN = Found(None, b"", b"", 0, 0)
"""What is known of an entry that nobody has looked for."""


class Parts(NamedTuple):
    """What an entry is made of beside its value: its own tags, what was read for all, its share of the time."""

    names: Sequence[str]
    read: tuple[bytes, ...]
    cost: int


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """Places of the questions that must be computed; answered with a `Made` for each."""

    places: tuple[int, ...]
    capture: Capture


def gather(
    specs: Sequence[Spec], produce: Callable[[tuple[int, ...]], Sequence[Made]] | None = None, *, together: bool = False
) -> list[Any] | None:
    """Return the values of specs of one alias and policy; None where each must be asked for by itself.

    `produce` is given the places of those that are missing; without it MISSING stands for them. `together` says that
    what it reads through the ORM is read for all of them. None is where doors do not answer as usual: in shadow mode,
    in a transaction that has written or reads a snapshot, while the store is away. Nothing here is audited.
    """
    if _is_unusual(specs[0]):
        return None
    store = store_for(specs[0].alias)
    plan = _plan(specs, store, computes=produce is not None, together=together)
    answer: Any = None
    error: StoreUnavailable | None = None
    try:
        if store.suspect or pending(store.alias):
            catch_up(store)
        while True:
            step = plan.send(answer) if error is None else plan.throw(error)
            answer = error = None
            if isinstance(step, Missing) and produce is not None:
                with _computing(step):
                    answer = produce(step.places)
                continue
            try:
                answer = store.do(step)
            except StoreUnavailable as raised:
                error = raised
    except StopIteration as end:
        values: list[Any] | None = end.value
        return values
    except StoreUnavailable:
        return None


async def agather(
    specs: Sequence[Spec],
    produce: Callable[[tuple[int, ...]], Awaitable[Sequence[Made]]] | None = None,
    *,
    together: bool = False,
) -> list[Any] | None:
    """Like `gather`."""
    if _is_unusual(specs[0]):
        return None
    store = store_for(specs[0].alias)
    plan = _plan(specs, store, computes=produce is not None, together=together)
    answer: Any = None
    error: StoreUnavailable | None = None
    try:
        if store.suspect or pending(store.alias):
            await acatch_up(store)
        while True:
            step = plan.send(answer) if error is None else plan.throw(error)
            answer = error = None
            if isinstance(step, Missing) and produce is not None:
                with _computing(step):
                    answer = await produce(step.places)
                continue
            try:
                answer = await store.ado(step)
            except StoreUnavailable as raised:
                error = raised
    except StopIteration as end:
        values: list[Any] | None = end.value
        return values
    except StoreUnavailable:
        return None


def shadows() -> bool:
    """Tell whether doors pretend: what each would have served is compared one by one."""
    return bool(conf().SHADOW)


@contextmanager
def apart(specs: Sequence[Spec]) -> Iterator[None]:
    """Have many values computed past the cache inside, from primaries; what contains them depends on them."""
    outer = current.get()
    for spec in specs:
        if mode.get() != "apart":
            hooks.tell(hooks.Lookup(spec.alias, spec.door, spec.name, "bypass"))
        if outer is not None:
            outer.depend(*spec.tags, *spec.policy.tags)
    with reading_primaries():
        yield


@contextmanager
def _computing(step: Missing) -> Iterator[None]:
    """Collect what is read inside, from primaries: nobody asks here whether what a replica shows is fresh."""
    with capturing(step.capture), reading_primaries():
        yield


def _is_unusual(spec: Spec) -> bool:
    given = conf()
    if mode.get() not in ("", "refresh") or not given.ENABLED or given.SHADOW or spec.policy.timeout == 0:
        return True
    return bool(computing.dirty_tags()) or computing.snapshot() is not None


def _plan(specs: Sequence[Spec], store: Store, *, computes: bool, together: bool) -> Plan:
    """Look, judge, have what is missing computed at once, and store it."""
    memo = None
    for spec in specs:  # one that is to be refreshed is forgotten
        memo = computing.memo_for(spec)
    version = 0 if memo is None else memo.version
    values = [MISSING if memo is None else _remembered(memo, spec) for spec in specs]
    found = _absent(values)
    if mode.get() != "refresh":
        near = near_for(store.alias) if specs[0].policy.near and computing.tracks() else None
        if near is not None:
            values = [_held(near, spec) if at in found else values[at] for at, spec in enumerate(specs)]
            found = _absent(values)
        if found:
            loaded = yield steps.LoadMany(tuple(specs[at].key for at in found))
            found = dict(zip(found, loaded, strict=True))
        for at, one in found.items():
            values[at] = _value(specs[at], one, store.now(), near, tells=computes)
            if memo is not None and one.header is not None and values[at] is not MISSING:
                upto = max(one.header.read_point, one.last)
                answer = Answer(Verdict.FRESH, one.header, upto, one.payload, values[at])
                values[at] = memo.kept(specs[at], version, answer)
    places = tuple(at for at in found if values[at] is MISSING)
    if places and computes:
        yield from _filled(specs, store, values, {at: found[at] for at in places}, together=together)
        if memo is not None:
            for at in places:
                memo.drop(specs[at])
    return values


def _absent(values: list[Any]) -> dict[int, Found]:
    return {at: UNKNOWN for at, value in enumerate(values) if value is MISSING}


def _remembered(memo: Memo, spec: Spec) -> Any:
    """Return what was read before in this request; MISSING asks further."""
    held = memo.get(spec)
    return MISSING if held is None else held.copy(held.value)


def _filled(
    specs: Sequence[Spec], store: Store, values: list[Any], found: dict[int, Found], *, together: bool
) -> Generator[Any, Any, None]:
    """Have what is missing computed with one read point, and store it; what cannot be stored is handed out."""
    places = tuple(found)
    first = found[places[0]]
    begun = steps.Begun(first.epoch, first.last)
    if not first.epoch or first.since:
        begun = yield steps.Begin(specs[places[0]].key)
    started = time.monotonic()
    store.samples.note(started, begun.epoch, begun.read_point)
    capture = Capture(begun.epoch, begun.read_point, specs[0].policy.tags, store.samples)
    capture.began = max(begun.read_point, store.now())
    made: Sequence[Made] = yield Missing(places, capture)
    capture.close()
    cost = int((time.monotonic() - started) * 1_000_000) // len(places)
    read, saves = (capture.tags,) if together else (), []
    for at, given in zip(places, made, strict=True):
        values[at], names, *apart = given
        own: list[Capture] = apart
        parts = Parts(names, tuple(one.tags for one in own) or read, cost)
        if (save := _save(specs[at], own[0] if own else capture, values[at], parts)) is not None:
            saves.append((save, found[at]))
    try:
        plain = tuple(save for save, one in saves if one.newest != NEVER)
        if plain:
            yield steps.SaveMany(plain)
        for save, one in saves:
            if one.newest == NEVER:  # a bucket was lost: this step mends it
                yield save
    except StoreUnavailable:
        pass


def _held(near: Near, spec: Spec) -> Any:
    """Return what this process holds and knows to be fresh, counted and handed on; MISSING asks the store."""
    kept = taken(near, spec.key)
    if kept is None:
        return MISSING
    if (outer := current.get()) is not None:
        outer.take_in(kept.header, kept.upto)
    hooks.tell(hooks.Lookup(spec.alias, spec.door, spec.name, "hit"))
    return kept.value


def _value(spec: Spec, found: Found, now: int, near: Near | None, *, tells: bool) -> Any:
    """Return a fresh value, counted, its dependencies handed on; MISSING for what must be computed.

    What is not there is counted here if it `tells`, else by who computes it.
    """
    header = found.header
    dice = (1 - random.random()) ** spec.policy.beta  # noqa: S311 - no secret
    verdict = judge(found, now, dice)
    value: Any = MISSING
    if header is not None and verdict is Verdict.FRESH:
        try:
            value = spec.codec.loads(found.payload)
        except Undecodable:
            verdict = Verdict.MISSING
    if value is not MISSING or tells:
        word = "hit" if value is not MISSING else _word(verdict)
        hooks.tell(hooks.Lookup(spec.alias, spec.door, spec.name, word))
    outer = current.get()
    if value is MISSING or header is None:
        return MISSING
    upto = max(header.read_point, found.last)
    if outer is not None:
        outer.take_in(header, upto)
    if near is not None:
        given = Brought(value, found.payload, spec.codec, now, spec.policy.beta, spec.policy.near)
        value = brought(near, spec.key, header, upto, given)
    return value


def _word(verdict: Verdict) -> str:
    return "miss" if verdict in (Verdict.FRESH, Verdict.EARLY) else verdict.value


def _save(spec: Spec, capture: Capture, value: Any, parts: Parts) -> steps.Save | None:
    """Return how to store a value; hand what it depends on to the computation around, stored or not."""
    seconds = spec.policy.lifetime(value, random.random())  # noqa: S311 - no secret
    expiry = min(NEVER if seconds == float("inf") else capture.began + int(seconds * 1_000_000), capture.expiry)
    blob = tags.merge([*parts.names, *spec.tags, *spec.policy.tags], parts.read)
    header = Header(capture.epoch, capture.read_point, capture.oldest, expiry, parts.cost, blob)
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
    if capture.obstacle:
        hooks.tell(hooks.Refused(spec.alias, spec.door, spec.name, capture.obstacle))
    if not payload or len(payload) > conf().MAX_VALUE_BYTES or len(blob) > computing.MAX_TAGS_BYTES:
        return None
    ttl = 0 if expiry == NEVER else max((expiry - capture.began) // 1000 + int(spec.policy.grace * 1000), 1)
    return steps.Save(spec.key, seal(header, payload, spec.key), ttl, blob)
