"""A busy machine is no fault: servers may be slow to answer where a test is not about that."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds: what has not come by then does not come."""
ANSWERED = 20
"""Seconds that a server may take to answer."""


def patient(options: dict[str, Any]) -> dict[str, Any]:
    """Return OPTIONS of a cache with long timeouts where they name none."""
    unnamed = [name for name in ("SOCKET_CONNECT_TIMEOUT", "SOCKET_TIMEOUT") if name.lower() not in options]
    return dict.fromkeys(unnamed, ANSWERED) | options


def until(true: Callable[[], T]) -> T:
    """Wait for what comes in its own time, and return it; fail if it does not come at all."""
    deadline = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found
