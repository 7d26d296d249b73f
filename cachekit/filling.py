"""Have many missing values computed at once, with one read point, and store them."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from cachekit import computing, hooks
from cachekit.conf import conf
from cachekit.core import dependencies, steps
from cachekit.core.capture import Capture, capturing, current
from cachekit.core.entry import NEVER, Found, Header, seal
from cachekit.core.policy import Spec
from cachekit.exceptions import StoreUnavailable, UncacheableValue
from cachekit.stores import Store

Made = tuple[Any, Sequence[str]] | tuple[Any, Sequence[str], Capture]
"""A value with the tags that it depends on; one that was made apart from the others with what was captured of it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """Places of the questions that must be computed; answered with a `Made` for each."""

    places: tuple[int, ...]
    capture: Capture


class Parts(NamedTuple):
    """What an entry is made of: its own tags, what was read for all, its share of the time, its value encoded."""

    names: Sequence[str]
    read: tuple[bytes, ...]
    cost: int
    payload: bytes


def filled(
    specs: Sequence[Spec], store: Store, values: list[Any], found: dict[int, Found], *, together: bool
) -> Generator[Any, Any, None]:
    """Have what is missing computed with one read point, and store it; what cannot be stored is handed out."""
    places = tuple(found)
    first = found[places[0]]
    begun = steps.Begun(first.epoch, first.last)
    if not first.epoch or first.since:
        begun = yield steps.Begin(specs[places[0]].key)
    started = time.monotonic()
    store.samples.note(started, begun.epoch, begun.read_point)
    capture = Capture(begun.epoch, begun.read_point, specs[0].policy.tags, store.samples)
    capture.began, capture.volatile = max(begun.read_point, store.now()), specs[0].policy.volatile
    made: Sequence[Made] = yield Missing(places, capture)
    packed = []
    for at, given in zip(places, made, strict=True):
        values[at], names, *apart = given
        own: Capture = apart[0] if apart else capture
        packed.append((at, names, own, _packed(specs[at], own, values[at])))
    capture.close()
    cost = int((time.monotonic() - started) * 1_000_000) // len(places)
    read, saves = (capture.tags,) if together else (), []
    for at, names, own, payload in packed:
        parts = Parts(names, read if own is capture else (own.tags,), cost, payload)
        if (save := _save(specs[at], own, values[at], parts)) is not None:
            saves.append((save, found[at]))
    try:
        plain = tuple(save for save, one in saves if one.newest != NEVER)
        if plain:
            yield steps.SaveMany(plain)
        for save, one in saves:
            if one.newest == NEVER:  # a bucket was lost: this step mends it
                yield save
    except StoreUnavailable:
        pass


def _packed(spec: Spec, capture: Capture, value: Any) -> bytes:
    """Encode inside the capture, so that what a lazy value reads is captured too; nothing for what is not stored."""
    obstacle = capture.obstacle
    if not obstacle and not computing.dirty_tags():
        try:
            with capturing(capture):
                return spec.codec.dumps(value)
        except UncacheableValue as error:
            obstacle = str(error)
    if obstacle:
        hooks.tell(hooks.Refused(spec.alias, spec.door, spec.name, obstacle))
    return b""


def _save(spec: Spec, capture: Capture, value: Any, parts: Parts) -> steps.Save | None:
    """Return how to store a value; hand what it depends on to the computation around, stored or not."""
    seconds = spec.policy.lifetime(value, random.random())  # noqa: S311 - no secret
    expiry = min(NEVER if seconds == float("inf") else capture.began + int(seconds * 1_000_000), capture.expiry)
    blob = dependencies.merge([*parts.names, *spec.tags, *spec.policy.tags], parts.read, spec.key)
    header = Header(capture.epoch, capture.read_point, capture.oldest, expiry, parts.cost, blob)
    outer = current.get()
    if outer is not None:
        if capture.taint:
            outer.spoil(capture.taint)
        outer.take_in(header, capture.read_point)
        outer.lags = outer.lags or capture.lags
    payload = parts.payload
    if not payload or len(payload) > conf().MAX_VALUE_BYTES or len(blob) > computing.MAX_TAGS_BYTES:
        return None
    ttl = 0 if expiry == NEVER else max((expiry - capture.began) // 1000 + int(spec.policy.grace * 1000), 1)
    return steps.Save(spec.key, seal(header, payload, spec.key), ttl, blob)
