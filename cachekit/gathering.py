"""Answer many questions of one kind at once: one look at the store, one computation for all that is missing."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cachekit import computing, hooks
from cachekit.conf import conf
from cachekit.core import steps
from cachekit.core.capture import capturing, current, reading_primaries
from cachekit.core.codecs import Undecodable
from cachekit.core.entry import Found, Verdict, judge
from cachekit.core.missing import MISSING
from cachekit.core.plans import Answer
from cachekit.core.policy import Spec
from cachekit.exceptions import StoreUnavailable
from cachekit.filling import Made, Missing, filled
from cachekit.invalidation import acatch_up, catch_up, pending
from cachekit.memos import Memo
from cachekit.modes import mode
from cachekit.near import Brought, Near, brought, near_for, taken
from cachekit.remembering import memo_for
from cachekit.stores import Store, store_for

__all__ = ["Made", "agather", "apart", "gather", "shadows"]

Plan = Generator[Any, Any, list[Any] | None]
UNKNOWN = Found(None, b"", b"", 0, 0)
"""What is known of an entry that nobody has looked for."""


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
        memo = memo_for(spec)
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
        yield from filled(specs, store, values, {at: found[at] for at in places}, together=together)
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
