"""A busy machine is no fault: servers may be slow to answer where a test is not about that."""

from __future__ import annotations

from typing import Any

PATIENCE = 20.0
"""Seconds: what has not come by then does not come."""


def patient(options: dict[str, Any]) -> dict[str, Any]:
    """Return OPTIONS of a cache with long timeouts where they name none."""
    unnamed = [name for name in ("SOCKET_CONNECT_TIMEOUT", "SOCKET_TIMEOUT") if name.lower() not in options]
    return dict.fromkeys(unnamed, PATIENCE) | options
