"""Shadow mode: serve what was computed just now, and tell what the cache would have served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from cachekit import computing, hooks
from cachekit.auditing import Suspect
from cachekit.core.capture import reading_primaries
from cachekit.core.entry import Verdict
from cachekit.core.plans import Answer, Visit, alone
from cachekit.core.policy import Spec
from cachekit.modes import entered, mode
from cachekit.stores import Store
from cachekit.trials import Trial, compared, visit_of


def covers(spec: Spec, wanted: bool | tuple[str, ...]) -> bool:
    """Tell whether a door only pretends to cache: by the setting, or because it stands inside one that does."""
    here = mode.get()
    if here == "refresh":  # which computes whatever there is, and stores it
        return False
    return here == "shadow" or wanted is True or spec.alias in (wanted or ()) or spec.door in (wanted or ())


def resolve(store: Store, spec: Spec, seen: Answer | Visit | None, produce: Callable[[], Any]) -> Answer:
    """Compute, whatever the engine has seen: a hit, an errand to renew it, or None for what is its reader's own."""
    if isinstance(seen, Answer):
        trial, visit = Trial(spec, seen, own=1), visit_of(store, spec)
        try:
            with entered("apart"):  # doors inside would not have been asked
                return computing.run(store, compared(visit, trial), visit, trial.noting(produce))
        finally:
            _tell(trial)
    with entered("shadow"):
        if seen is None:
            with reading_primaries():
                return Answer(Verdict.MISSING, None, value=produce(), computed=True)
        hooks.tell(hooks.Shadowed(spec.alias, spec.door, spec.name, "would-miss"))
        return computing.run(store, alone(seen), seen, produce)


async def aresolve(
    store: Store, spec: Spec, seen: Answer | Visit | None, produce: Callable[[], Awaitable[Any]]
) -> Answer:
    """Like `resolve`."""
    if isinstance(seen, Answer):
        trial, visit = Trial(spec, seen, own=1), visit_of(store, spec)
        try:
            with entered("apart"):
                return await computing.arun(store, compared(visit, trial), visit, trial.anoting(produce))
        finally:
            _tell(trial)
    with entered("shadow"):
        if seen is None:
            with reading_primaries():
                return Answer(Verdict.MISSING, None, value=await produce(), computed=True)
        hooks.tell(hooks.Shadowed(spec.alias, spec.door, spec.name, "would-miss"))
        return await computing.arun(store, alone(seen), seen, produce)


def _tell(trial: Trial) -> None:
    spec, header = trial.spec, trial.served.header
    hooks.tell(hooks.Shadowed(spec.alias, spec.door, spec.name, trial.result))
    if trial.result == "mismatch" and header is not None:
        hooks.tell(Suspect("shadow", spec.alias, spec.door, spec.name, spec.key, header))
