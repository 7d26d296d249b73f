"""The engine: get a fresh value or compute one; called or awaited."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cachekit import auditing, computing, hooks, shadowing
from cachekit.conf import Conf, conf
from cachekit.core.capture import current, reading_primaries
from cachekit.core.codecs import Undecodable
from cachekit.core.dependencies import touches
from cachekit.core.entry import Found, Verdict, judge
from cachekit.core.flights import Flights
from cachekit.core.plans import Answer, Visit, renew
from cachekit.core.policy import Spec
from cachekit.exceptions import StoreUnavailable
from cachekit.invalidation import acatch_up, ainvalidate, catch_up, invalidate, pending
from cachekit.modes import BYPASSING, entered, mode
from cachekit.near import Brought, Kept, brought, near_for, present
from cachekit.remembering import memo_for
from cachekit.stores import Store, store_for

__all__ = [
    "aget_or_set",
    "ainvalidate",
    "apeek",
    "aresolve",
    "at_hand",
    "get_or_set",
    "invalidate",
    "is_plain",
    "peek",
    "refreshing",
    "resolve",
    "uncached",
]

flights = Flights()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=flights.forget)


@contextmanager
def uncached() -> Iterator[None]:
    """Make every door inside compute: nothing is read from a cache, nothing stored."""
    with entered("bypass"):
        yield


@contextmanager
def refreshing() -> Iterator[None]:
    """Make every door inside compute and store, whatever is there: what a warmer does."""
    with entered("refresh"):
        yield


def get_or_set(spec: Spec, produce: Callable[[], Any]) -> Any:
    """Return the value of `spec`, computed by `produce` unless a fresh one is stored."""
    memo = memo_for(spec)
    if memo is not None:
        held, version = memo.get(spec), memo.version
        return memo.kept(spec, version, resolve(spec, produce)) if held is None else held.copy(held.value)
    kept = at_hand(spec)
    return resolve(spec, produce).value if kept is None else kept.copy(kept.value)


async def aget_or_set(spec: Spec, produce: Callable[[], Awaitable[Any]]) -> Any:
    """Like `get_or_set`."""
    memo = memo_for(spec)
    if memo is not None:
        held, version = memo.get(spec), memo.version
        return memo.kept(spec, version, await aresolve(spec, produce)) if held is None else held.copy(held.value)
    kept = at_hand(spec)
    return (await aresolve(spec, produce)).value if kept is None else kept.copy(kept.value)


def at_hand(spec: Spec) -> Kept | None:
    """Return what this process holds and knows to be fresh, where nothing else is to be done about a hit."""
    return _held(spec) if spec.policy.near and spec.policy.timeout != 0 and is_plain(conf()) else None


def is_plain(given: Conf) -> bool:
    """Tell whether hits are answered here and now, and nobody wants to see what would be computed."""
    return not (mode.get() or given.AUDIT or given.SHADOW) and given.ENABLED


def resolve(spec: Spec, produce: Callable[[], Any]) -> Answer:
    """Like `get_or_set`, with what there is to know about the value: was it a hit, was it born stale."""
    given = conf()
    if _bypasses(spec, given):
        return Answer(Verdict.MISSING, None, value=produce(), computed=True)
    store = store_for(spec.alias)
    seen = _near(spec, given) or _judged(spec, store, _load(store, spec))
    if given.SHADOW and shadowing.covers(spec, given.SHADOW):
        return shadowing.resolve(store, spec, seen, produce)
    if isinstance(seen, Answer):
        if given.AUDIT:
            auditing.after_hit(store, spec, seen, produce)
        return seen
    if seen is None:
        with reading_primaries():
            return Answer(Verdict.MISSING, None, value=produce(), computed=True)
    answer = computing.run(store, renew(seen, flights), seen, produce)
    if answer.computed:
        return answer
    return _decoded(spec, answer) or Answer(Verdict.MISSING, None, value=produce(), computed=True)


async def aresolve(spec: Spec, produce: Callable[[], Awaitable[Any]]) -> Answer:
    """Like `resolve`."""
    given = conf()
    if _bypasses(spec, given):
        return Answer(Verdict.MISSING, None, value=await produce(), computed=True)
    store = store_for(spec.alias)
    seen = _near(spec, given) or _judged(spec, store, await _aload(store, spec))
    if given.SHADOW and shadowing.covers(spec, given.SHADOW):
        return await shadowing.aresolve(store, spec, seen, produce)
    if isinstance(seen, Answer):
        if given.AUDIT:
            await auditing.aafter_hit(store, spec, seen, produce)
        return seen
    if seen is None:
        with reading_primaries():
            return Answer(Verdict.MISSING, None, value=await produce(), computed=True)
    answer = await computing.arun(store, renew(seen, flights), seen, produce)
    if answer.computed:
        return answer
    return _decoded(spec, answer) or Answer(Verdict.MISSING, None, value=await produce(), computed=True)


def peek(spec: Spec) -> Answer | None:
    """Return what is kept and fresh, None where it would have to be computed."""
    given = conf()
    if (found := _remembered(spec)) is not None:
        return found
    if _bypasses(spec, given) or (given.SHADOW and shadowing.covers(spec, given.SHADOW)):
        return _nothing()
    store = store_for(spec.alias)
    return _shown(spec, _near(spec, given) or _judged(spec, store, _load(store, spec)))


async def apeek(spec: Spec) -> Answer | None:
    """Like `peek`."""
    given = conf()
    if (found := _remembered(spec)) is not None:
        return found
    if _bypasses(spec, given) or (given.SHADOW and shadowing.covers(spec, given.SHADOW)):
        return _nothing()
    store = store_for(spec.alias)
    return _shown(spec, _near(spec, given) or _judged(spec, store, await _aload(store, spec)))


def _remembered(spec: Spec) -> Answer | None:
    memo = memo_for(spec)
    held = memo.get(spec) if memo is not None else None
    if held is None:
        return None
    return Answer(Verdict.FRESH, held.header, held.checked, value=held.copy(held.value))


def _shown(spec: Spec, seen: Answer | Visit | None) -> Answer | None:
    if isinstance(seen, Visit) and seen.verdict is Verdict.EARLY and seen.spare is not None:
        seen = _decoded(spec, seen.spare)  # fresh, whoever renews it
    return seen if isinstance(seen, Answer) else _nothing()


def _nothing() -> Answer | None:
    """Return nothing, and note it: what is made of that is true of the cache, not of what it is a cache of."""
    if (outer := current.get()) is not None:
        outer.spoil("it has looked for what was not in the cache")
    return None


def _bypasses(spec: Spec, given: Conf) -> bool:
    """Tell whether this read must not touch the cache."""
    if mode.get() not in BYPASSING and given.ENABLED and spec.policy.timeout != 0:
        return False
    if mode.get() != "apart":
        _count(spec, "bypass")
    elif (outer := current.get()) is not None:
        outer.depend(*spec.tags, *spec.policy.tags)
    return True


def _near(spec: Spec, given: Conf) -> Answer | None:
    """Return what this process holds and knows to be fresh; in shadow mode it serves nothing."""
    if not spec.policy.near or given.SHADOW or mode.get() == "refresh":
        return None
    kept = _held(spec)
    if kept is None:
        return None
    return Answer(Verdict.FRESH, kept.header, kept.checked, value=kept.copy(kept.value))


def _held(spec: Spec) -> Kept | None:
    """Return what the near cache holds, counted as a hit and known to whatever is being computed around it."""
    near = present(spec.alias)
    kept = near.get(spec.key) if near is not None and computing.tracks() else None
    if near is None or kept is None:
        return None
    outer = current.get()
    if outer is not None:
        outer.take_in(kept.header, max(kept.checked, near.mirror.upto))
    hooks.looked_up(spec.hit or hooks.Lookup(spec.alias, spec.door, spec.name, "hit"))
    return kept


def _brought_near(spec: Spec, answer: Answer, now: int) -> Answer:
    """Keep in this process what the store has just found fresh."""
    near = near_for(spec.alias)
    if near is None or answer.header is None:
        return answer
    given = Brought(answer.value, answer.payload, spec.codec, now, spec.policy.beta, spec.policy.near)
    return answer._replace(value=brought(near, spec.key, answer.header, answer.read_point, given))


def _load(store: Store, spec: Spec) -> Found | None:
    try:
        if store.suspect or pending(spec.alias):
            catch_up(store)
        return store.load(spec.key)
    except StoreUnavailable:
        return None


async def _aload(store: Store, spec: Spec) -> Found | None:
    try:
        if store.suspect or pending(spec.alias):
            await acatch_up(store)
        return await store.aload(spec.key)
    except StoreUnavailable:
        return None


def _judged(spec: Spec, store: Store, found: Found | None) -> Answer | Visit | None:
    """Apply the law: an answer if it is fresh, else the errand to renew it; None computes in private."""
    now, verdict, dirty = store.now(), Verdict.MISSING, computing.dirty_tags()
    snapshot = computing.snapshot()
    past = snapshot is not None and found is not None and not _is_shown(store, found, snapshot)
    if found is not None and found.header is not None:
        header = found.header
        verdict = judge(found, now, (1 - random.random()) ** spec.policy.beta)  # noqa: S311 - no secret
        hides = (past and not spec.policy.newer_than_snapshot) or (dirty and touches(header.tags, dirty))
        if mode.get() == "refresh" and verdict is not Verdict.STALE:
            verdict, found = Verdict.MISSING, found._replace(header=None)
        elif verdict is Verdict.FRESH and not hides:
            answer = _decoded(spec, Answer(verdict, header, max(header.read_point, found.last), found.payload))
            if answer is not None:
                _count(spec, "hit")
                return _brought_near(spec, answer, now) if spec.policy.near else answer
            verdict = Verdict.MISSING
    if dirty or past:  # own writes are not committed yet, what is past is over: nobody else may see what comes of it
        _set_apart(spec)
        return None
    if found is not None and not spec.policy.lease:
        store.samples.note(time.monotonic(), found.epoch, found.last)  # its read point, if it is computed
    _count(spec, "error" if found is None else "hit" if verdict is Verdict.EARLY else verdict.value)
    visit = Visit(spec, found, verdict, computing.my_job(), time.monotonic(), now, mode.get() == "refresh")
    return visit if snapshot is None else visit._replace(private=True)


def _is_shown(store: Store, found: Found, snapshot: float) -> bool:
    """Tell whether a snapshot shows what was found too: nothing it depends on was invalidated since the snapshot."""
    point = store.samples.before(snapshot, found.epoch)
    store.samples.note(time.monotonic(), found.epoch, found.last)  # for the next snapshot
    return point is not None and found.newest <= point


def _set_apart(spec: Spec) -> None:
    """Have a value computed that is its reader's own; what contains it depends on it all the same."""
    _count(spec, "bypass")
    if (outer := current.get()) is not None:
        outer.depend(*spec.tags, *spec.policy.tags)


def _decoded(spec: Spec, answer: Answer) -> Answer | None:
    """Decode what the store or a neighbour gave, and hand its dependencies on; None if it cannot be read."""
    try:
        value = spec.codec.loads(answer.payload)
    except Undecodable:
        _count(spec, "error")
        return None
    outer = current.get()
    if outer is not None and answer.header is not None:
        outer.take_in(answer.header, answer.read_point)
    return answer._replace(value=value)


def _count(spec: Spec, result: str) -> None:
    hooks.tell(hooks.Lookup(spec.alias, spec.door, spec.name, result))
