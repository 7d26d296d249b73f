"""Audit hits: compute one in so many once more, and tell what became of the comparison."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, NamedTuple

from django.utils import timezone, translation

from cachekit import computing, hooks, tenants
from cachekit.conf import conf
from cachekit.core.capture import capturing
from cachekit.core.entry import Header
from cachekit.core.plans import Answer
from cachekit.core.policy import Spec
from cachekit.modes import entered
from cachekit.stores import Store
from cachekit.trials import Trial, compared, visit_of

logger = logging.getLogger("cachekit.audit")

APART = frozenset({"function", "query", "row"})
"""The doors whose computation needs no request, so that it may be run in a thread of its own."""


_turn = threading.Lock()
"""One audit at a time in a process: a slow computation of a busy door must not take every thread."""


def _begin_again() -> None:
    global _turn  # noqa: PLW0603 - a fork may have copied a lock whose holder it did not
    _turn = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)


class Suspect(NamedTuple):
    """An entry that differs from what the database says though nothing it depends on was invalidated."""

    rig: str
    """audit or shadow."""
    alias: str
    door: str
    name: str
    key: str
    header: Header
    again: Callable[[], str] | None = None
    """Compares once more, from any thread."""


def after_hit(store: Store, spec: Spec, served: Answer, produce: Callable[[], Any]) -> None:
    """Compute a hit once more if it is its turn. Never raises."""
    turn = _turn
    if not _is_due(spec) or not turn.acquire(blocking=False):
        return

    def compare() -> str:
        trial, visit = Trial(spec, served), visit_of(store, spec)
        with entered("apart"), capturing(None):
            try:
                computing.run(store, compared(visit, trial), visit, trial.noting(produce))
            except Exception as error:  # noqa: BLE001 - the visitor has their answer, whatever this is
                logger.debug("%s '%s' could not be audited: %r", spec.door, spec.name, type(error))
        return trial.result

    try:
        result = compare()
    finally:
        turn.release()
    _tell(spec, served, result, _apart(compare) if result == "mismatch" and spec.door in APART else None)


async def aafter_hit(store: Store, spec: Spec, served: Answer, produce: Callable[[], Awaitable[Any]]) -> None:
    """Like `after_hit`."""
    turn = _turn
    if not _is_due(spec) or not turn.acquire(blocking=False):
        return
    trial, visit = Trial(spec, served), visit_of(store, spec)
    with entered("apart"), capturing(None):
        try:
            await computing.arun(store, compared(visit, trial), visit, trial.anoting(produce))
        except Exception as error:  # noqa: BLE001 - as above
            logger.debug("%s '%s' could not be audited: %r", spec.door, spec.name, type(error))
        finally:
            turn.release()
    _tell(spec, served, trial.result, None)


def _apart(compare: Callable[[], str]) -> Callable[[], str]:
    """Return what compares from any thread as it would here: for the same tenant, in the same language and time zone.

    Where the project's callable names another tenant there (a connection's, perhaps), nothing is compared.
    """
    context, name = copy_context(), tenants.current()
    language, zone = translation.get_language(), timezone.get_current_timezone()

    def again() -> str:
        with translation.override(language), timezone.override(zone):
            return compare() if tenants.current() == name else "skipped"

    return lambda: context.copy().run(again)


def _is_due(spec: Spec) -> bool:
    """Throw a die: every nth would meet the same doors of a page each time."""
    due = spec.policy.audit and random.random() * conf().AUDIT < 1  # noqa: S311 - no secret
    return due and not computing.dirty_tags()


def _tell(spec: Spec, served: Answer, result: str, again: Callable[[], str] | None) -> None:
    hooks.tell(hooks.Audited(spec.alias, spec.door, spec.name, result, 0))
    if result == "mismatch" and served.header is not None:
        hooks.tell(Suspect("audit", spec.alias, spec.door, spec.name, spec.key, served.header, again))
