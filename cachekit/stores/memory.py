"""The store inside one process: the same law and ledger, for tests and for a site without a server."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from cachekit.core import dependencies, steps, tags
from cachekit.core.entry import Found, unseal
from cachekit.core.samples import Samples
from cachekit.stores.base import Promise

MAX_ENTRIES = 10_000
MAX_POINTS = 100_000


class Kept(NamedTuple):
    """An envelope and the time (seconds, monotonic) until which it is kept."""

    data: bytes
    until: float


class MemoryStore:
    """Entries and ledger of this process, bounded in number; `clock` gives seconds since the epoch."""

    def __init__(self, alias: str, prefix: str, *, clock: Callable[[], float] = time.time) -> None:
        self.alias = alias
        self.prefix = prefix
        self.samples = Samples()
        self.troubles = 0
        self._clock = clock
        self._lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Forget everything: a new epoch begins."""
        with self._lock:
            self.entries: OrderedDict[str, Kept] = OrderedDict()
            self.events: deque[tuple[int, steps.Invalidate]] = deque(maxlen=1000)
            self._points: OrderedDict[bytes, int] = OrderedDict()
            self._floor = 0
            self._last = 0
            self._epoch = os.urandom(8)

    @property
    def suspect(self) -> bool:
        """Tell that nothing was missed: memory is never away."""
        return False

    def got_over(self, troubles: int) -> None:
        """Do nothing: memory is never away."""

    def reset(self) -> None:
        """Do nothing: this process knows nothing of the store that the store itself does not hold."""

    def now(self) -> int:
        """Return the time in microseconds."""
        return int(self._clock() * 1_000_000)

    def key(self, *parts: str) -> str:
        """Return the name of an entry."""
        return ":".join((self.prefix, *parts))

    def slot_key(self, name: str) -> str:
        """Return the name of something beside the ledger."""
        return f"{{{self.prefix}}}:{name}"

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Let everything pass: memory is never away."""
        yield

    def load(self, key: str) -> Found:
        """Return an entry with the newest point among its tags."""
        with self._lock:
            kept = self.entries.get(key)
            if kept is not None and kept.until <= self._clock():
                del self.entries[key]
                kept = None
            if kept is not None:
                self.entries.move_to_end(key)
            header, payload = unseal(kept.data if kept else None, key)
            newest = self._newest(header.tags) if header else 0
            return Found(header, payload, self._epoch, self._last, newest)

    async def aload(self, key: str) -> Found:
        """Like `load`."""
        return self.load(key)

    def do(self, step: steps.Step) -> Any:
        """Carry out a step."""
        if isinstance(step, steps.Wait):
            time.sleep(min(step.seconds, 0.005))
            return None
        with self._lock:
            return self._do(step)

    async def ado(self, step: steps.Step) -> Any:
        """Like `do`."""
        if isinstance(step, steps.Wait):
            await asyncio.sleep(min(step.seconds, 0.005))
            return None
        return self.do(step)

    def follow(self) -> None:
        """Do nothing: the ledger is at hand."""

    def hold(self, *, on: bool) -> None:
        """Do nothing: memory is never owed anything."""

    @property
    def evicts(self) -> bool:
        """Tell that points are folded, never evicted."""
        return False

    def post(self, step: steps.Invalidate, lost: Callable[[], object]) -> None:
        """Carry out a step: nothing is lost inside a process."""
        self.do(step)

    def promise(self, step: steps.Intend) -> Promise:
        """Put intents; they stand at once."""
        self.do(step)
        return lambda: True

    def hear(self) -> bool:
        """Tell that nothing is under way."""
        return False

    def _do(self, step: steps.Step) -> Any:
        answer: Any = True  # a lease inside one process is its flight: nothing to renew or to release
        match step:
            case steps.Load(key):
                answer = self.load(key)
            case steps.LoadMany(keys):
                answer = [self.load(key) for key in keys]
            case steps.SaveMany(saves):
                for one in saves:
                    self._save(one)
            case steps.Begin(_, lease):
                self._last = max(self._last, self.now())
                answer = steps.Begun(self._epoch, self._last, "here" if lease else "")
                self.samples.note(time.monotonic(), self._epoch, self._last)
            case steps.Save():
                answer = self._save(step)
            case steps.Invalidate():
                answer = self._invalidate(step)
            case steps.Intend(names, _, lease):
                self._intend(names, self.now() + int(lease * 1_000_000))
            case steps.Withdraw(names):
                self._invalidate(steps.Invalidate(names, "withdrawn"))
        return answer

    def _save(self, step: steps.Save) -> steps.Saved:
        self.entries[step.key] = Kept(step.data, self._clock() + step.ttl / 1000 if step.ttl else float("inf"))
        self.entries.move_to_end(step.key)
        while len(self.entries) > MAX_ENTRIES:
            self.entries.popitem(last=False)
        return steps.Saved(self._epoch, self._newest(step.tags))

    def _invalidate(self, step: steps.Invalidate) -> int:
        self._last = point = max(self._last + 1, self.now())
        for text in step.tags:
            tag = tags.parse(text)
            name = tag.digest or tag.text.encode()
            self._points[name] = point
            self._points.move_to_end(name)
        while len(self._points) > MAX_POINTS:
            self._floor = max(self._floor, self._points.popitem(last=False)[1])
        self.events.append((point, step))
        return point

    def _intend(self, names: tuple[str, ...], point: int) -> None:
        """Put points into the future; here writer and readers die together, so nobody need know whose they are."""
        for text in names:
            tag = tags.parse(text)
            self._points[tag.digest or tag.text.encode()] = point

    def _newest(self, blob: bytes) -> int:
        where = dependencies.layout(blob)
        known = [self._points.get(name, 0) for name in where.whole]
        known += [self._points.get(one, 0) for _, digests in where.places for one in digests]
        return max(self._floor, *known)
