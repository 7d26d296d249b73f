"""`OPTIONS["NEAR"]`: what `caches[alias]` has read stays in the process until somebody writes to its key.

Every write tells the ledger of its key in the same buffer, so that the mirrors of all processes hear of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from redis.exceptions import NoScriptError

from cachekit import hooks
from cachekit.backends.codec import Codec
from cachekit.conf import conf
from cachekit.core.copies import copier_for, shared
from cachekit.core.entry import NEVER, Header
from cachekit.core.keys import fingerprint
from cachekit.core.mirror import name_of
from cachekit.core.steps import Invalidate
from cachekit.core.tags import EVERYTHING, digest
from cachekit.invalidation import owe
from cachekit.near import Kept, Near
from cachekit.stores.ledger import new_epoch
from cachekit.stores.redis import RedisStore
from cachekit.stores.scripts import script, told_as
from cachekit.stores.wire import framed, pack, raised

MOST_NAMED = 100
"""A write to more keys than that tells of all keys."""


class Teller:
    """Says to the ledger which keys were written; by what alias makes no difference, for aliases may share a ledger."""

    family = "backend:keys"

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._keys = store.ledger.root, store.ledger.events

    def tag(self, name: str) -> str:
        """Return the tag of a key."""
        return f"{self.family}#{fingerprint(name)}"

    def said(self, names: Sequence[str], *, loaded: bool) -> tuple[bytes, int]:
        """Return the packed command that tells of these keys, none meaning all; `loaded` where the server knows it."""
        texts, tell = self._tags(names), script("tell")
        verb = ("EVALSHA", tell.sha) if loaded else ("EVAL", tell.source)
        moved: list[bytes | str] = []
        for text in texts:
            moved += ("w", text) if text == self.family else ("d", digest(text))
        return pack(*verb, 2, *self._keys, new_epoch(), "written", self.family, told_as(texts), *moved), 1

    def one(self, name: str) -> tuple[bytes, bytes]:
        """Return the packed command that tells of one key, and how the key is called in events; in one piece."""
        text = self.tag(name)
        called = digest(text)
        start, middle = self._pieces
        said = (start, new_epoch(), middle, text.encode(), called)
        return b"%b%b%b%b\r\n$1\r\nd\r\n$8\r\n%b\r\n" % said, b"d" + called

    @cached_property
    def _pieces(self) -> tuple[bytes, bytes]:
        """Return what stands before the epoch, and between that and the tag, which is always of one length."""
        start = framed(("EVALSHA", script("tell").sha, 2, *self._keys))
        middle = framed(("written", self.family))
        return b"*11\r\n%b$8\r\n" % start, b"\r\n%b$%d\r\n" % (middle, len(self.tag("")))

    def heard(self, called: bytes) -> None:
        """Note that the ledger knows of one key."""
        self._store.mirror.doubt_named((called,), time.monotonic())

    def done(self, names: Sequence[str], answer: Any) -> None:
        """Note that the ledger knows. Raises its error."""
        raised((answer,))
        known = [_called(text) for text in self._tags(names)] if 0 < len(names) <= MOST_NAMED else [_WHOLE]
        self._store.mirror.doubt_named(known, time.monotonic())

    def lost(self) -> None:
        """Have the ledger told as soon as it answers that any key may have been written: others hold the old value."""
        if self._store.alias:
            owe(self._store.alias, Invalidate((self.family,), "written", self.family))

    def _tags(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(map(self.tag, names)) if 0 < len(names) <= MOST_NAMED else (self.family,)


def _called(text: str) -> bytes:
    """Return how the tag of a key is called in events; unlike `name_of` it fills no memory with tags that come once."""
    return b"d" + digest(text)


_WHOLE = name_of(Teller.family)


class Nearby:
    """The near cache behind one alias's `get`."""

    def __init__(self, store: RedisStore, teller: Teller, codec: Codec, *, hot: bool) -> None:
        given = conf()
        self.near = Near(store.mirror, given.NEAR_ENTRIES, given.NEAR_BYTES)
        self.meter = hooks.Meter(hooks.Lookup(store.alias, "backend", "near", "hit"))
        self._hot = hot
        self._whole = name_of(EVERYTHING), _WHOLE
        self._header = Header(b"", 0, 0, NEVER, 0, b"")
        self._store = store
        self._teller = teller
        self._codec = codec
        hooks.meters[:] = [one for one in hooks.meters if one.asked != self.meter.asked] + [self.meter]

    def moment(self) -> tuple[bytes, int] | None:
        """Return the epoch and the ledger time up to which the mirror is complete; None while it is not."""
        mirror = self._store.follow()
        return (mirror.epoch, mirror.upto) if time.monotonic() < mirror.until else None

    def keep(self, key: Any, name: str, found: tuple[bytes, int, Any], moment: tuple[bytes, int]) -> Any:
        """Keep what was fetched after a moment of the mirror's, if it is to be kept; return what its reader gets.

        `found` is what stood there, the milliseconds that it had left, and its value.
        """
        data, left, value = found
        if self._hot and not self.near.hot.seen(key):
            return value
        epoch, upto = moment
        copy, mine = copier_for(value), value
        if copy is None:
            mine, copy = data, self._codec.decode
        header = self._header
        if header.read_point != upto or header.epoch != epoch:  # what is fetched between two heartbeats shares one
            header = self._header = Header(epoch, upto, upto, NEVER, 0, b"")
        names = (*self._whole, _called(self._teller.tag(name)))
        deadline = math.inf if left < 0 else time.monotonic() + left / 1000
        self.near.put(key, Kept(mine, copy, header, header.read_point, deadline, names), len(data))
        return value if copy is shared or mine is data else copy(value)


def told(teller: Teller, names: Sequence[str], answer: Any) -> bool:
    """Tell whether the ledger took what was said of these keys; False where it must be said again, in full."""
    if isinstance(answer, NoScriptError):
        return False
    teller.done(names, answer)
    return True
