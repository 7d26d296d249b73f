"""Keep a mirror by the ledger's stream: one thread and one connection a process and alias."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from redis.exceptions import RedisError

from cachekit.core import steps
from cachekit.core.mirror import Beat, Event, Mirror
from cachekit.exceptions import StoreUnavailable
from cachekit.stores.scripts import Exchange
from cachekit.stores.wire import Wire, pack, raised

if TYPE_CHECKING:
    from cachekit.stores.redis import RedisStore

logger = logging.getLogger("cachekit.near")

BEAT = 0.1
"""Seconds between two heartbeats, at most."""
GATHERS = 0.002
"""Seconds in which further events gather: who wakes for each of many takes the processor from those who write them."""
PROBE = 1.0
"""Seconds between two read points taken to see whether the server still takes writes."""
PAUSE = 0.25
"""Seconds to wait after trouble."""
MOST_PAUSE = 5.0
"""Seconds between two tries, at most, where the server answers and its stream cannot be followed."""
PAGE = 500


class Channel:
    """Follows the stream of one store; `turn` is one round, which the thread repeats."""

    def __init__(self, store: RedisStore, mirror: Mirror, wire: Any) -> None:
        self._store = store
        self._mirror = mirror
        self._wire = wire
        self._cursor = b""
        self._beaten = self._probed = 0.0
        self.hears = False
        """Whether it could wait for events; nothing is proven before: what is refused is refused at once."""

    def turn(self) -> None:
        """Wait for events, at most until the next heartbeat is due, and compare with the root when it is.

        Raises redis-py's errors, StoreUnavailable where the server takes no writes, and LookupError or ValueError for
        what somebody else has put into the stream.
        """
        if self._cursor:
            self._listen()
        if not self._cursor or time.monotonic() - self._beaten >= BEAT:  # not for each event: writes would pay for it
            self._beat()

    def _listen(self) -> None:
        left = self._beaten + BEAT - time.monotonic()
        wait = max(1, math.ceil(left * 1000)) if self.hears else 1
        command = pack("XREAD", "COUNT", PAGE, "BLOCK", wait, "STREAMS", self._store.ledger.events, self._cursor)
        (found,) = self._exchange(Exchange(command, 1, BEAT + 1))
        if not self.hears:
            self.hears, self._beaten = True, 0.0
        if not self._follow(_entries(found)):
            self._cursor = b""
        elif found:
            time.sleep(GATHERS)

    def _beat(self) -> None:
        """Compare with the root; where what came between does not explain the difference, begin anew from here."""
        for _ in range(2):
            asked, beat, newest = self._asked()
            if not self._cursor:
                self._mirror.start(beat)  # what comes from the stream twice is known by its number
                self._cursor = newest[-1][0] if newest else b"0-0"
            elif not self._follow(newest):
                break
            if self._store.suspect or not self.hears:
                self._mirror.void()
                return
            if self._mirror.prove(beat, asked):
                return
        self._mirror.void()
        self._cursor = b""

    def _asked(self) -> tuple[float, Beat, list[tuple[bytes, Event]]]:
        """Ask the root, and for what this mirror has not read; for the end of the stream where it has read nothing."""
        asked, store = time.monotonic(), self._store
        self._beaten = asked
        if asked - self._probed > PROBE:
            _ask(store)  # a server that refuses this cannot be told of writes
            self._probed = asked
        if self._cursor:
            events = pack("XREAD", "COUNT", PAGE, "STREAMS", store.ledger.events, self._cursor)
        else:
            events = pack("XREVRANGE", store.ledger.events, "+", "-", "COUNT", 1)
        exchange, read = store.ledger.beat()
        found, *replies = self._exchange(Exchange(events + exchange.payload, 1 + exchange.replies))
        return asked, read(replies), _entries(found) if self._cursor else [_entry(one) for one in found or ()]

    def _follow(self, found: Sequence[tuple[bytes, Event]]) -> bool:
        if not self._mirror.apply(event for _, event in found):
            return False
        if found:
            self._cursor = found[-1][0]
        return True

    def _exchange(self, wanted: Exchange) -> list[Any]:
        return list(raised(self._wire.exchange(wanted.payload, wanted.replies, timeout=wanted.timeout)))


def _entries(found: Any) -> list[tuple[bytes, Event]]:
    """Read what XREAD answers about one stream: a list of streams, or a map with RESP3."""
    if not found:
        return []
    streams = found.items() if isinstance(found, dict) else found
    return [_entry(one) for _, told in streams for one in told]


def _entry(told: Sequence[Any]) -> tuple[bytes, Event]:
    number, pairs = told
    fields = pairs if isinstance(pairs, dict) else dict(zip(pairs[::2], pairs[1::2], strict=True))
    return number, Event(int(fields[b"seq"]), fields[b"epoch"], fields.get(b"moved", b"*"))


class Follower:
    """The thread that keeps a store's mirror; started by the first read, and again in a child of a fork."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        _followers.add(self)
        self.forget()

    def forget(self) -> None:
        """Know of no thread: a child of a fork has none, and a lock that was held when it was born stays held."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._store.mirror.unlock()

    def follow(self) -> None:
        """Begin to follow, if nobody does in this process."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._over = threading.Event()
                thread = threading.Thread(target=self._run, args=(self._over,), name="cachekit-channel", daemon=True)
                self._thread = thread
                thread.start()

    def stop(self) -> None:
        """Follow no more."""
        self._over.set()
        self._store.mirror.void()
        self._thread = None

    def _run(self, over: threading.Event) -> None:
        store = self._store
        wire = Wire(store.pool, store.greet)
        channel, pause = Channel(store, store.mirror, wire), 0.0
        try:
            while not over.is_set():
                try:
                    if store.breaker.is_open:
                        _ask(store)
                    channel.turn()
                    pause = 0.0 if channel.hears else pause
                except (StoreUnavailable, RedisError, OSError, LookupError, ValueError) as error:
                    store.mirror.void()
                    channel = Channel(store, store.mirror, wire)
                    if not pause and not over.is_set():
                        logger.info("The ledger's stream cannot be followed, reads are strict: %s", error)
                    pause = min(2 * pause, MOST_PAUSE) if pause and answers(store) else PAUSE
                    over.wait(pause)
        finally:
            if over.is_set():
                wire.drop()


def answers(store: RedisStore) -> bool:
    """Tell whether the server answers and takes writes: then it is the stream that cannot be had, on this way to it."""
    try:
        _ask(store)
    except StoreUnavailable:
        return False
    return True


def refusal(store: RedisStore) -> str:
    """Try to follow the ledger's stream; return why that fails though the server answers. Raises StoreUnavailable."""
    wire = Wire(store.pool, store.greet)
    channel = Channel(store, Mirror(), wire)
    try:
        channel.turn()
        channel.turn()  # the second time it waits for events
    except (RedisError, OSError, LookupError, ValueError) as error:
        _ask(store)
        return f"{type(error).__name__}: {error}"
    finally:
        wire.drop()
    return ""


def _ask(store: RedisStore) -> None:
    """Ask something else, whose failure is noted. Raises StoreUnavailable."""
    store.do(steps.Begin(""))


_followers: WeakSet[Follower] = WeakSet()


def _forget() -> None:
    for one in tuple(_followers):
        one.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
