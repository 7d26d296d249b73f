"""The trace: which recent invalidations touched some tags or an entry, when, why and by whom."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from cachekit.browser import discreet
from cachekit.core.dependencies import encode, families, touches
from cachekit.core.entry import Found, Header, Verdict, judge, unseal
from cachekit.core.tags import parse
from cachekit.stores import store_for
from cachekit.stores.listing import listing_for
from cachekit.stores.shelf import Event, shelf_for

LOOKED_THROUGH = 1_000
"""So many events are kept by a ledger, about."""
HEAD = 66_000
"""So many bytes of an entry hold its tags."""
SHOWN_TAGS = 4


class Touch(NamedTuple):
    """An invalidation, and what it meant for what was asked about."""

    event: Event
    touches: bool
    """False: it was of the same table, but of other rows or slices."""
    is_later: bool = False
    """Whether it came after the entry's computation began: such a one makes it stale."""


class Trace(NamedTuple):
    """An entry as the ledger judges it now, with the invalidations that concern it, newest first."""

    key: str
    header: Header
    verdict: Verdict
    touches: tuple[Touch, ...]


def of_tag(alias: str, tag: str, limit: int = 20) -> list[Touch]:
    """Return the latest invalidations of what depends on a tag. Raises StoreUnavailable, InvalidTag."""
    told = parse(tag)
    if told.kind == "whole":  # nothing depends on it: it was invalidated by this very name, or it was not
        return _touches(alias, lambda event: True if told.text in event.tags else None, limit)
    blob = encode([told.text])
    return _touches(alias, lambda event: True if touches(blob, event.tags) else None, limit)


def of_header(alias: str, header: Header, limit: int = 20) -> list[Touch]:
    """Return the latest invalidations of an entry's tags and of their tables. Raises StoreUnavailable."""
    near = families(header.tags)

    def concerns(event: Event) -> bool | None:
        if touches(header.tags, event.tags):
            return True
        return False if any(parse(tag).family in near for tag in event.tags) else None

    found = _touches(alias, concerns, limit)
    return [one._replace(is_later=one.event.point > header.read_point) for one in found]


def of_key(alias: str, key: str, limit: int = 20) -> Trace | None:
    """Return the trace of an entry; None where there is none of this key. Raises StoreUnavailable."""
    value = listing_for(alias).value(os.fsencode(key), "string", HEAD)
    header, _ = unseal(value.data, key)
    if header is None:
        return None
    store = store_for(alias)
    found: Found = store.load(key)
    return Trace(key, header, judge(found, store.now()), tuple(of_header(alias, header, limit)))


def told(touch: Touch) -> str:
    """Write an invalidation in a line, and how it concerns the entry."""
    return f"{line(touch.event)} ({effect(touch)})"


def line(event: Event) -> str:
    """Write an invalidation in a line: when, its number, why and by whom, and of what."""
    when = datetime.fromtimestamp(event.point / 1e6, UTC).isoformat(timespec="milliseconds")
    tags = [discreet(tag.encode()) for tag in event.tags[:SHOWN_TAGS]]
    more = f" and {len(event.tags) - SHOWN_TAGS} more" if len(event.tags) > SHOWN_TAGS else ""
    number = f" #{event.seq}" if event.seq else ""
    by = f" by {event.by}" if event.by else ""
    return f"{when}{number} {event.why or 'invalidate()'}{by}: {' '.join(tags)}{more}"


def effect(touch: Touch) -> str:
    """Say how an invalidation concerns an entry."""
    if not touch.touches:
        return "same table, nothing it depends on"
    return "made it stale" if touch.is_later else "before it was computed"


def _touches(alias: str, concerns: Callable[[Event], bool | None], limit: int) -> list[Touch]:
    found: list[Touch] = []
    for event in shelf_for(alias).events(LOOKED_THROUGH):
        if event.is_intent:  # what came of it stands above it, or it is still standing
            continue
        if (touched := concerns(event)) is not None:
            found.append(Touch(event, touched))
        if len(found) == limit:
            break
    return found
