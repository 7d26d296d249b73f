"""Make what the engine is asked for, and hear what it tells, in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from cachekit import hooks
from cachekit.core.capture import depend
from cachekit.core.policy import Policy, Spec
from cachekit.signing import pickles
from cachekit.stores import store_for

Event = TypeVar("Event")


def spec_of(alias: str, name: str = "thing", **policy: Any) -> Spec:
    """Return a spec whose entries never expire early or at random, unless `policy` says so."""
    policy = {"jitter": 0, "beta": 0, "negative_timeout": 30, **policy}
    return Spec(alias, store_for(alias).key("function", name), "function", name, Policy(**policy), pickles)


class Source:
    """A computation that counts its runs and returns the next of its values; the last one for ever."""

    def __init__(self, *values: Any, tags: tuple[str, ...] = (), before: Callable[[], object] | None = None) -> None:
        self.values = list(values) or ["value"]
        self.tags = tags
        self.before = before
        self.runs = 0

    def __call__(self) -> Any:
        """Compute."""
        self.runs += 1
        depend(*self.tags)
        value = self.values.pop(0) if len(self.values) > 1 else self.values[0]
        if self.before is not None:
            self.before()
        if isinstance(value, BaseException):
            raise value
        return value


@contextmanager
def hearing(kind: type[Event]) -> Iterator[list[Event]]:
    """Collect the events of one kind."""
    heard: list[Event] = []
    listener = heard.append
    hooks.subscribe(kind, listener)
    try:
        yield heard
    finally:
        hooks.unsubscribe(kind, listener)
