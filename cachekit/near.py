"""The near cache: decoded values in this process, judged by the mirror instead of a round trip.

Only what the store found fresh comes in, with the ledger time of that check. What nobody can change is handed out as it
is, everything else as a copy of its own.
"""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from cachekit.conf import conf
from cachekit.core.codecs import Codec
from cachekit.core.copies import copier_for, shared
from cachekit.core.entry import NEVER, Header
from cachekit.core.hot import Hot
from cachekit.core.mirror import Mirror, names_of
from cachekit.stores import Store, store_for

LEAST_BYTES = 400
"""What an entry takes beside its value, more or less."""
UNPACKED = 4
"""How many times as large as its encoded form a value is in memory, more or less."""


class Kept:
    """One value, with what it takes to judge it."""

    __slots__ = ("checked", "copy", "deadline", "header", "names", "size", "used", "value", "version")

    def __init__(  # noqa: PLR0917 - made in two places
        self,
        value: Any,
        copy: Callable[[Any], Any],
        header: Header,
        checked: int,
        deadline: float,
        names: tuple[bytes, ...] = (),
    ) -> None:
        self.value = value
        self.copy = copy
        self.header = header
        self.checked = checked
        """The ledger time at which it was known to be fresh."""
        self.deadline = deadline
        self.names = names or names_of(header.tags)
        self.version = -1
        """The mirror's version by which it was last judged fresh."""
        self.used = False
        self.size = LEAST_BYTES


class Near:
    """The near entries of one alias: bounded in number and bytes, the ones not used lately go first (CLOCK)."""

    def __init__(self, mirror: Mirror, most: int, most_bytes: int) -> None:
        self.mirror = mirror
        self.hot = Hot()
        self._most = most
        self._most_bytes = most_bytes
        self._entries: OrderedDict[Any, Kept] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """Return what the entries take, by an estimate from their encoded sizes."""
        return self._bytes

    def get(self, key: Any) -> Kept | None:
        """Return an entry that is fresh as far as the mirror's last proof tells; None asks the store."""
        kept = self._entries.get(key)
        if kept is None:
            return None
        mirror, now = self.mirror, time.monotonic()
        if now >= mirror.until or now >= kept.deadline:
            return None
        version = mirror.version  # before the look: what comes meanwhile makes another
        if kept.version != version:
            header = kept.header
            if not mirror.shows(kept.names, header.epoch, kept.checked, header.oldest):
                return None
            kept.version = version
        kept.used = True
        return kept

    def put(self, key: Any, kept: Kept, encoded: int) -> None:
        """Keep an entry, and let others go where there is no room."""
        kept.size = LEAST_BYTES + UNPACKED * encoded
        if kept.size > self._most_bytes // 8:
            self.drop(key)
            return
        with self._lock:
            before = self._entries.pop(key, None)
            self._bytes += kept.size - (before.size if before is not None else 0)
            self._entries[key] = kept
            while len(self._entries) > self._most or self._bytes > self._most_bytes:
                oldest, one = self._entries.popitem(last=False)
                if one.used and one is not kept:
                    one.used = False
                    self._entries[oldest] = one
                else:
                    self._bytes -= one.size

    def drop(self, key: Any) -> None:
        """Forget an entry."""
        with self._lock:
            one = self._entries.pop(key, None)
            self._bytes -= one.size if one is not None else 0

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def unlock(self) -> None:
        """Begin with locks that nobody holds: in a child of a fork."""
        self._lock = threading.Lock()
        self.hot.unlock()


def present(alias: str) -> Near | None:
    """Return the near cache of an alias, if something was ever brought into it; it may have ceased to be proven."""
    known = _nears.get(alias)
    return known[1] if known is not None and known[0] is store_for(alias) else None


class Taken(NamedTuple):
    """A value for its reader, out of the near cache; `upto` is the ledger time at which it was known to be fresh."""

    value: Any
    header: Header
    upto: int


_nears: dict[str, tuple[Store, Near]] = {}


def near_for(alias: str) -> Near | None:
    """Return the near cache of an alias, whose ledger is followed from now on; None where the store is in memory."""
    store = store_for(alias)
    mirror = store.follow()
    if mirror is None:
        return None
    known = _nears.get(alias)
    if known is None or known[0] is not store:
        known = _nears[alias] = store, Near(mirror, conf().NEAR_ENTRIES, conf().NEAR_BYTES)
    return known[1]


def taken(near: Near, key: Any) -> Taken | None:
    """Return a value that its reader may do with what they like."""
    kept = near.get(key)
    if kept is None:
        return None
    return Taken(kept.copy(kept.value), kept.header, max(kept.checked, near.mirror.upto))


def brought(near: Near, key: Any, header: Header, checked: int, given: Brought) -> Any:
    """Keep a value that the store has just found fresh, and return what its reader gets."""
    if given.near == "hot" and not near.hot.seen(key):
        return given.value
    copy, value = copier_for(given.value), given.value
    if header.epoch == near.mirror.epoch:  # one object for all entries
        header = header._replace(epoch=near.mirror.epoch)
    if copy is None:
        value, copy = given.payload, given.codec.loads
    near.put(key, Kept(value, copy, header, checked, _deadline(header, given.now, given.beta)), len(given.payload))
    return given.value if copy is shared or value is given.payload else copy(value)


class Brought(NamedTuple):
    """A value as the store gave it, and how its codec reads it; `now` on the ledger's clock, and parts of a policy."""

    value: Any
    payload: bytes
    codec: Codec
    now: int
    beta: float
    near: bool | str = True


def _deadline(header: Header, now: int, beta: float) -> float:
    """Return until when (monotonic) it is handed out: its expiry, a little sooner by XFetch's dice."""
    if header.expiry == NEVER:
        return math.inf
    early = -math.log(1 - random.random()) * beta * header.cost  # noqa: S311 - no secret
    return time.monotonic() + (header.expiry - now - early) / 1_000_000


def forget() -> None:
    """Forget every near cache: for tests."""
    _nears.clear()


def _unlock() -> None:
    for _, near in _nears.values():
        near.unlock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
