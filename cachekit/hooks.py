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


def subscribe(kind: type[Event], listener: Callable[[Event], None]) -> None:
    """Have `listener` called with every event of this kind; subscribing twice is the same as once."""
    present = _listeners.get(kind, ())
    if listener not in present:
        _listeners[kind] = (*present, listener)


def unsubscribe(kind: type[Event], listener: Callable[[Event], None]) -> None:
    """Undo `subscribe`."""
    _listeners[kind] = tuple(known for known in _listeners.get(kind, ()) if known is not listener)


def tell(event: tuple[Any, ...]) -> None:
    """Call the listeners of this event's kind in the order in which they subscribed; one that fails is logged.

    What they hear of has happened: an error of theirs must not come out of a commit, nor out of a page.
    """
    for listener in _listeners.get(event.__class__, ()):
        try:
            listener(event)
        except Exception:
            logger.exception("A listener to %s failed", type(event).__name__)
