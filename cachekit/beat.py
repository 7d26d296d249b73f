"""Have every Celery beat send cachekit's periodic tasks, whatever scheduler it runs."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from cachekit import warming, writebehind
from cachekit.exceptions import MissingExtra, StoreUnavailable

try:
    from celery import Celery, signals
    from celery.beat import Scheduler, Service
except ImportError as error:  # pragma: no cover - tried in a virtual environment of its own
    raise MissingExtra.of("celery") from error

logger = logging.getLogger("cachekit.beat")

SHORTEST_EXPIRY = 60
"""A message may wait so many seconds in its queue, though the next is due sooner: a slow queue must not starve it."""

RELAY_EVERY = 10.0
"""Seconds between looks into the outbox."""

RETRY = 5.0
"""Seconds to the next try after an error."""


def plug() -> None:
    """Join every beat that starts in this process; plugging twice is the same as once."""
    signals.beat_init.connect(join, dispatch_uid="cachekit.beat", weak=False)


def join(*, sender: Service, **_: object) -> None:
    """Let a second scheduler, which lives in memory only, tick whenever the project's own ticks.

    The project's may be a file (PersistentScheduler), rows that staff edit (django-celery-beat) or keys (RedBeat):
    entries put among those would be stored, or dropped at the next reading. What all of them have in common is that
    beat calls their `tick` and sleeps for the seconds it returns.
    """
    theirs = sender.scheduler
    theirs.tick = together(theirs.tick, scheduler(sender.app).tick)  # type: ignore[method-assign,assignment]


def together(theirs: Callable[..., float | None], ours: Callable[[], float]) -> Callable[..., float | None]:
    """Return a tick that does both and asks for the shorter sleep; trouble in ours never stops theirs."""

    @functools.wraps(theirs)
    def tick(*args: Any, **kwargs: Any) -> float | None:
        pause = theirs(*args, **kwargs)
        try:
            return min(pause or 0, ours())
        except Exception:
            logger.exception("cachekit's tasks could not be sent; the next try is in %s s", RETRY)
            return min(pause or 0, RETRY)

    return tick


def scheduler(app: Celery) -> Scheduler:
    """Return a scheduler in memory that holds an entry for each warmer and each write-behind counter."""
    made = Scheduler(app, lazy=True)
    for entry in entries(app):
        made.add(**entry)
    return made


def entries(app: Celery) -> Iterator[dict[str, Any]]:
    """Yield what `Scheduler.add` wants for each task, as if beat had not stopped since the last run of a warmer."""
    now = datetime.now(app.timezone)
    last = {run.name: min(run.started.astimezone(app.timezone), now) for run in last_runs()}
    for warmer in warming.registered():
        yield entry("cachekit.warm", warmer.name, warmer.schedule, last.get(warmer.name) or start(warmer.schedule, now))
    for counter in writebehind.registered():
        yield entry("cachekit.flush_writes", counter.name, counter.flush_every, start(counter.flush_every, now))

    # the command `cachekit relay` is quicker; this is for projects that do not run it
    yield {**entry("cachekit.relay", "", RELAY_EVERY, now), "args": ()}


def entry(task: str, name: str, schedule: float | warming.Schedule, last: datetime) -> dict[str, Any]:
    """Return one entry; its messages expire when the next is due, so that none pile up while workers are away."""
    expires = {"expires": max(schedule, SHORTEST_EXPIRY)} if isinstance(schedule, float | int) else {}
    return {
        "name": f"{task}:{name}",
        "task": task,
        "args": (name,),
        "schedule": schedule,
        "last_run_at": last,
        "options": expires,
    }


def start(schedule: float | warming.Schedule, now: datetime) -> datetime:
    """Return a last run for what never ran: due at once where it recurs, at its next time where it has times."""
    return now - timedelta(seconds=schedule) if isinstance(schedule, float | int) else now


def last_runs() -> list[warming.WarmerRun]:
    """Return the recorded runs, none where the cache server is away: then beat starts afresh."""
    try:
        return warming.runs()
    except StoreUnavailable as error:
        logger.warning("Beat does not know when warmers ran last: %s", error)
        return []
