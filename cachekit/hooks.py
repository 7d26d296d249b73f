"""Tell those who asked what happened, without knowing who they are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar


class Lookup(NamedTuple):
    """A door was asked for a value; `result` is hit, miss, stale, expired, bypass or error."""

    alias: str
    door: str
    name: str
    result: str


class Meter:
    """Counts look-ups where an event for each would cost more than the look-up; statistics read it now and then."""

    __slots__ = ("asked", "times")

    def __init__(self, asked: Lookup) -> None:
        self.asked = asked
        self.times = 0


meters: list[Meter] = []
"""All there are in this process."""


class Invalidated(NamedTuple):
    """Tags got a new invalidation point."""

    alias: str
    tags: tuple[str, ...]
    why: str
    by: str


class Refused(NamedTuple):
    """A value was computed and handed out but not stored, for this reason."""

    alias: str
    door: str
    name: str
    reason: str


class Audited(NamedTuple):
    """A hit was computed once more and compared; `result` is match, mismatch, raced, unsteady, skipped or mended.

    `seconds` is 0 at once, and 1, 5 or 60 where a mismatch was looked at again.
    """

    alias: str
    door: str
    name: str
    result: str
    seconds: int


class Shadowed(NamedTuple):
    """In shadow mode a value was computed; `result` is match, mismatch, would-miss, raced, unsteady or skipped."""

    alias: str
    door: str
    name: str
    result: str


class StoreDown(NamedTuple):
    """The circuit of a store opened: until further notice nothing is asked of it."""

    alias: str
    error: str


class StoreUp(NamedTuple):
    """A store answers again."""

    alias: str


class Relayed(NamedTuple):
    """A relay has looked into every outbox: told whenever it delivered, and once a second."""

    rows: int
    """Delivered since the last time."""
    waiting: int
    oldest: float
    """Seconds that the oldest of those that wait has stood there."""


Event = TypeVar("Event")

logger = logging.getLogger("cachekit.hooks")

_listeners: dict[type, tuple[Callable[[Any], None], ...]] = {}
_counters: dict[Callable[[Any], None], Callable[[Any, int], None]] = {}
"""What listeners that only count are told instead, where a thing happened many times."""


_steps: dict[tuple[Any, ...], Callable[[], object]] = {}
"""What tells the only listener of a look-up in one call, as that listener gave it."""

MOST_STEPS = 2000


def subscribe(
    kind: type[Event], listener: Callable[[Event], None], *, many: Callable[[Event, int], None] | None = None
) -> None:
    """Have `listener` called with every event of this kind; subscribing twice is the same as once.

    `many` is called instead, once, where the same happened so many times.
    """
    present = _listeners.get(kind, ())
    if many is not None:
        _counters[listener] = many
    if listener not in present:
        _listeners[kind] = (*present, listener)
    _steps.clear()


def unsubscribe(kind: type[Event], listener: Callable[[Event], None]) -> None:
    """Undo `subscribe`."""
    _listeners[kind] = tuple(known for known in _listeners.get(kind, ()) if known != listener)
    _steps.clear()


def shorten(listener: Callable[[Lookup], None], event: Lookup, step: Callable[[], object]) -> None:
    """Have `step` called for this look-up instead of `listener`, as long as nobody else listens."""
    if len(_steps) > MOST_STEPS:
        _steps.clear()
    _steps[event] = step
    if _listeners.get(Lookup) != (listener,):  # looked at last, for others may subscribe meanwhile
        _steps.pop(event, None)


def lengthen() -> None:
    """Undo every `shorten`."""
    _steps.clear()


def looked_up(event: tuple[Any, ...]) -> None:
    """Tell of a look-up, like `tell`, by one call where that does."""
    step = _steps.get(event)
    if step is None:
        tell(event)
    else:
        step()


def tell(event: tuple[Any, ...]) -> None:
    """Call the listeners of this event's kind in the order in which they subscribed; one that fails is logged.

    What they hear of has happened: an error of theirs must not come out of a commit, nor out of a page.
    """
    for listener in _listeners.get(event.__class__, ()):
        try:
            listener(event)
        except Exception:
            logger.exception("A listener to %s failed", type(event).__name__)


def tell_many(event: tuple[Any, ...], times: int) -> None:
    """Like `tell`, of what happened so many times."""
    for listener in _listeners.get(type(event), ()) if times else ():
        many = _counters.get(listener)
        try:
            if many is None:
                for _ in range(times):
                    listener(event)
            else:
                many(event, times)
        except Exception:
            logger.exception("A listener to %s failed", type(event).__name__)
