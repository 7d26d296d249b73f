"""Send reads to a replica's primary where what the replica shows could not be stored."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db.utils import ConnectionRouter

from cachekit.core.capture import current, on_primary
from cachekit.databases import replicas


def install() -> None:
    """Wrap the answer of the project's routers, once (decisions.md: why here)."""
    if not hasattr(ConnectionRouter.db_for_read, "__wrapped__"):
        ConnectionRouter.db_for_read = _routing(ConnectionRouter.db_for_read)  # type: ignore[method-assign]


def _routing(db_for_read: Callable[..., str]) -> Callable[..., str]:
    @wraps(db_for_read)
    def routing(self: ConnectionRouter, *args: Any, **hints: Any) -> str:
        return routed(db_for_read(self, *args, **hints))

    return routing


def routed(using: str) -> str:
    """Return where to read what the routers would read from `using`."""
    replica = replicas().get(using)
    if replica is None or not replica.lag:
        return using
    if on_primary.get():
        return replica.of
    capture = current.get()
    if capture is None or capture.may_lag(time.monotonic() - replica.lag):
        return using
    return replica.of
