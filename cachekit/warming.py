"""Run the functions that fill caches: by schedule or by hand, and each only once at a time over the whole fleet."""

from __future__ import annotations

import inspect
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol, TypeVar

from asgiref.sync import async_to_sync
from django.utils.module_loading import autodiscover_modules

from cachekit import engine
from cachekit.conf import conf
from cachekit.exceptions import StoreUnavailable
from cachekit.stores import Store, store_for
from cachekit.stores.turns import server_of, turn

logger = logging.getLogger("cachekit.warming")

Function = TypeVar("Function", bound=Callable[[], Any])

TIME_LIMIT = 300.0
"""A warmer whose process was killed is free to run again after so many seconds, unless it says otherwise."""


class Schedule(Protocol):
    """A schedule of Celery's, such as `crontab(minute=0)`."""

    def is_due(self, last_run_at: datetime) -> Any:
        """Tell whether it is time, and how many seconds there are to the next look."""


@dataclass(frozen=True, slots=True)
class Warmer:
    """A function that fills caches, and when it is due: every so many seconds, or by a schedule of Celery's."""

    name: str
    function: Callable[[], Any]
    schedule: float | Schedule
    time_limit: float

    @property
    def due(self) -> str:
        """Say when it is to run: `every 60 s`, or a schedule of Celery's."""
        return f"every {self.schedule:g} s" if isinstance(self.schedule, float) else str(self.schedule)


class WarmerRun(NamedTuple):
    """What became of a warmer's last run; `result` is ok, failed, or skipped: another process was running it."""

    name: str
    started: datetime
    seconds: float
    result: str
    error: str = ""


class UnknownWarmer(LookupError):
    """No warmer has this name."""


_warmers: dict[str, Warmer] = {}
_runs_here: dict[tuple[str, str], str] = {}


def warmer(
    *,
    every: float | timedelta | None = None,
    schedule: Schedule | None = None,
    name: str | None = None,
    time_limit: float = TIME_LIMIT,
) -> Callable[[Function], Function]:
    """Have a function without arguments run by Celery beat, `every` so many seconds or by a `schedule`.

    Put it into `caching.py` of an app. Whatever cached doors it opens are computed anew, though their entries may
    still be fresh. The same warmer never runs twice at once, unless it takes longer than its `time_limit` (seconds).
    """
    when = _when(every, schedule)
    if time_limit <= 0:
        raise ValueError(f"time_limit must be a positive number of seconds, not {time_limit!r}.")

    def register(function: Function) -> Function:
        _register(Warmer(name or f"{function.__module__}.{function.__qualname__}", function, when, time_limit))
        return function

    return register


def registered() -> list[Warmer]:
    """Return this process's warmers by name."""
    return [_warmers[name] for name in sorted(_warmers)]


def discover() -> None:
    """Import `caching.py` of every installed app that has one."""
    autodiscover_modules("caching")


def run(name: str) -> WarmerRun:
    """Run a warmer and record how it went. Raises what it raised, UnknownWarmer, or StoreUnavailable."""
    one = _named(name)
    store = store_for(conf().ALIAS)
    started, clock = datetime.now(UTC), time.monotonic()
    with turn(store, f"warm:{name}", seconds=one.time_limit) as mine:
        if not mine:
            logger.info("Warmer '%s' is running elsewhere", name)
            return WarmerRun(name, started, 0.0, "skipped")
        try:
            _call(one.function)
        except BaseException as error:
            problem = f"{type(error).__name__}: {error}"[:1000]
            logger.warning("Warmer '%s' failed: %s", name, problem)
            _record(store, WarmerRun(name, started, time.monotonic() - clock, "failed", problem))
            raise
        done = WarmerRun(name, started, time.monotonic() - clock, "ok")
        _record(store, done)
        return done


def runs() -> list[WarmerRun]:
    """Return the last recorded run of each warmer over the whole fleet, by name. Raises StoreUnavailable."""
    store = store_for(conf().ALIAS)
    server = server_of(store)
    if server is None:
        kept: list[str | bytes] = [text for (alias, _), text in _runs_here.items() if alias == store.alias]
    else:
        with store.guard():
            kept = [*server.hvals(store.slot_key("warm:runs"))]
    return sorted(_read(text) for text in kept)


def _call(function: Callable[[], Any]) -> None:
    with engine.refreshing():
        if inspect.iscoroutinefunction(function):
            async_to_sync(function)()
        else:
            function()


def _record(store: Store, done: WarmerRun) -> None:
    text = json.dumps([done.name, done.started.timestamp(), done.seconds, done.result, done.error])
    server = server_of(store)
    if server is None:
        _runs_here[store.alias, done.name] = text
        return
    try:
        with store.guard():
            server.hset(store.slot_key("warm:runs"), done.name, text)
    except StoreUnavailable as error:
        logger.warning("A run of warmer '%s' (%s) could not be recorded: %s", done.name, done.result, error)


def _read(text: str | bytes) -> WarmerRun:
    name, started, seconds, result, error = json.loads(text)
    return WarmerRun(name, datetime.fromtimestamp(started, UTC), seconds, result, error)


def _when(every: float | timedelta | None, schedule: Schedule | None) -> float | Schedule:
    if (every is None) == (schedule is None):
        raise ValueError("Say when to warm, one of: @warmer(every=300), @warmer(schedule=crontab(minute=0)).")
    if schedule is not None:
        if not callable(getattr(schedule, "is_due", None)):
            raise ValueError(f"schedule must be one of Celery's, such as crontab(minute=0), not {schedule!r}.")
        return schedule
    seconds = every.total_seconds() if isinstance(every, timedelta) else every
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < float("inf"):
        raise ValueError(f"every must be a positive number of seconds or a timedelta, not {every!r}.")
    return float(seconds)


def _register(one: Warmer) -> None:
    if one.name in _warmers:
        raise ValueError(f"Two warmers are called '{one.name}'. Give one of them another name: @warmer(name=…, …).")
    _warmers[one.name] = one


def _named(name: str) -> Warmer:
    try:
        return _warmers[name]
    except KeyError:
        known = ", ".join(sorted(_warmers)) or "none"
        raise UnknownWarmer(f"No warmer is called '{name}' (known: {known}). It belongs in caching.py.") from None
