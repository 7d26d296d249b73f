"""Log what an operator wants to know: a store that went away or came back, and why a value was not stored."""

from __future__ import annotations

import logging

from cachekit import hooks

breaker = logging.getLogger("cachekit.breaker")
refusals = logging.getLogger("cachekit.refused")


def install() -> None:
    """Listen."""
    hooks.subscribe(hooks.StoreDown, _down)
    hooks.subscribe(hooks.StoreUp, _up)
    hooks.subscribe(hooks.Refused, _refused)


def _down(event: hooks.StoreDown) -> None:
    breaker.error("Cache '%s' is away, values are computed: %s", event.alias, event.error)


def _up(event: hooks.StoreUp) -> None:
    breaker.warning("Cache '%s' answers again", event.alias)


def _refused(event: hooks.Refused) -> None:
    refusals.info("%s '%s' was not stored: %s", event.door, event.name, event.reason)
