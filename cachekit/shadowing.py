"""Shadow mode: serve what was computed just now, and tell what the cache would have served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from cachekit import computing, hooks
from cachekit.auditing import Suspect
from cachekit.core.codecs import Undecodable
from cachekit.core.entry import Found, Verdict, judge
from cachekit.core.plans import Answer, Visit, alone
from cachekit.core.policy import Spec
from cachekit.core.tags import touches
from cachekit.modes import entered, mode
from cachekit.stores import Store
from cachekit.trials import Trial, compared, visit_of


class Sight(NamedTuple):
    """What a door would have done: served (then there is a trial), computed and stored, or computed in private."""

    visit: Visit
    trial: Trial | None
    private: bool


def covers(spec: Spec, wanted: bool | tuple[str, ...]) -> bool:
    """Tell whether a door only pretends to cache: by the setting, or because it stands inside one that does."""
    here = mode.get()
    if here == "refresh":  # which computes whatever there is, and stores it
        return False
    return here == "shadow" or wanted is True or spec.alias in (wanted or ()) or spec.door in (wanted or ())


def resolve(store: Store, spec: Spec, found: Found | None, produce: Callable[[], Any]) -> Answer:
    """Compute, whatever was found; store what would have been stored."""
    visit, trial, private = _sight(store, spec, found)
    if trial is not None:
        try:
            with entered("apart"):  # doors inside would not have been asked
                return computing.run(store, compared(visit, trial), visit, trial.noting(produce))
        finally:
            _tell(trial)
    with entered("shadow"):
        if private:
            return Answer(Verdict.MISSING, None, value=produce(), computed=True)
        return computing.run(store, alone(visit), visit, produce)


async def aresolve(store: Store, spec: Spec, found: Found | None, produce: Callable[[], Awaitable[Any]]) -> Answer:
    """Like `resolve`."""
    visit, trial, private = _sight(store, spec, found)
    if trial is not None:
        try:
            with entered("apart"):
                return await computing.arun(store, compared(visit, trial), visit, trial.anoting(produce))
        finally:
            _tell(trial)
    with entered("shadow"):
        if private:
            return Answer(Verdict.MISSING, None, value=await produce(), computed=True)
        return await computing.arun(store, alone(visit), visit, produce)


def _sight(store: Store, spec: Spec, found: Found | None) -> Sight:
    """Look at what was found as the engine would, and count it so."""
    header, dirty = found.header if found else None, computing.dirty_tags()
    verdict = judge(found, store.now()) if found else Verdict.MISSING
    result = "error" if found is None else verdict.value
    served = None
    if found and header and verdict is Verdict.FRESH and not (dirty and touches(header.tags, dirty)):
        try:
            served = Answer(verdict, header, value=spec.codec.loads(found.payload))
        except Undecodable:
            result, verdict = "error", Verdict.MISSING
    private = served is None and bool(dirty)
    hooks.tell(hooks.Lookup(spec.alias, spec.door, spec.name, "bypass" if private else result))
    if served is None and not private:
        hooks.tell(hooks.Shadowed(spec.alias, spec.door, spec.name, "would-miss"))
    visit = visit_of(store, spec, found, verdict)
    return Sight(visit, Trial(spec, served, own=1) if served else None, private)


def _tell(trial: Trial) -> None:
    spec, header = trial.spec, trial.served.header
    hooks.tell(hooks.Shadowed(spec.alias, spec.door, spec.name, trial.result))
    if trial.result == "mismatch" and header is not None:
        hooks.tell(Suspect("shadow", spec.alias, spec.door, spec.name, spec.key, header))
