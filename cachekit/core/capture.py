"""Collect what a computation reads, so that nobody has to name its tags."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from cachekit.core import dependencies, tags
from cachekit.core.contexts import put_back
from cachekit.core.entry import NEVER, Header
from cachekit.core.samples import Samples

current: Final[ContextVar[Capture | None]] = ContextVar("cachekit_capture", default=None)
on_primary: Final[ContextVar[bool]] = ContextVar("cachekit_on_primary", default=False)
"""Whether what is read now must come from a primary, whatever the project's routers say."""


class Capture:
    """The dependencies of one computation, and the moment at which all of them are known to have been true."""

    __slots__ = (
        "_blobs",
        "_lock",
        "_samples",
        "_tags",
        "began",
        "changed",
        "closed",
        "epoch",
        "expiry",
        "key",
        "lags",
        "names_tags",
        "oldest",
        "read_point",
        "refusal",
        "strict",
        "taint",
        "undated",
        "volatile",
    )

    def __init__(
        self, epoch: bytes, read_point: int, names: Iterable[str] = (), samples: Samples | None = None
    ) -> None:
        self.epoch = epoch
        self.began = read_point
        """The ledger time at which it was begun."""
        self.read_point = read_point
        self.oldest = read_point
        self.expiry = NEVER
        self.key = ""
        """Of the entry that comes of it, if known: what it says of the dependencies is written first."""
        self.lags = False
        """Whether a lagging replica was read, so that all this may be older than what its reader has been told of."""
        self.undated = False
        """Whether nobody knows from when is what was read."""
        self.changed = 0
        """When what the last value depended on was invalidated, as far as it is known."""
        self.strict = True
        """Whether what is read for it must be checked in the store."""
        self._samples = samples
        self.refusal = ""
        """Why this value must not be stored."""
        self.taint = ""
        """Why neither this value nor one that contains it may be stored."""
        self._tags = set(names)
        self.names_tags = bool(self._tags)
        """Whether its door says what it depends on, so that reads which cannot be understood are its own affair."""
        self.volatile = False
        """Whether its door keeps what the database answers differently each time."""
        self._blobs: set[bytes] = set()
        self._lock = threading.Lock()
        self.closed = False
        """Whether the computation is over: what a task or a thread that outlives it reads is no part of it."""

    def close(self) -> None:
        """Take in nothing any more."""
        self.closed, self.strict = True, False

    def depend(self, *texts: str) -> None:
        """Add tags."""
        if not self.closed:
            self._tags.update(texts)

    def take_in(self, inner: Header, read_point: int) -> None:
        """Add an inner entry: its tags, its read point (perhaps re-dated), its age and its expiry."""
        if self.closed:
            return
        if inner.epoch != self.epoch:
            self.spoil("it contains an entry of another epoch")
        self._blobs.add(inner.tags)
        with self._lock:  # one computation may read in several threads
            self.read_point = min(self.read_point, read_point)
            self.oldest = min(self.oldest, inner.oldest)
            self.expiry = min(self.expiry, inner.expiry)

    def beside(self) -> Capture:
        """Return another that collects apart, from the same moment on."""
        made = Capture(self.epoch, self.read_point, (), self._samples)
        made.began, made.oldest, made.changed, made.strict = self.began, self.oldest, self.changed, self.strict
        return made

    def absorb(self, other: Capture) -> None:
        """Add what another has collected."""
        self.take_in(Header(other.epoch, other.read_point, other.oldest, other.expiry, 0, other.tags), other.read_point)
        self.lags, self.undated = self.lags or other.lags, self.undated or other.undated
        if other.taint:
            self.spoil(other.taint)

    def date_back(self, moment: float, reason: str) -> None:
        """Note that something is read as it was at a moment (monotonic); spoilt for `reason` if no point is known."""
        point = self._before(moment)
        if point is None:
            self.undated = True
            self.spoil(reason)
            return
        if not self.closed:
            with self._lock:
                self.read_point = min(self.read_point, point)
                self.oldest = min(self.oldest, point)

    def may_lag(self, moment: float) -> bool:
        """Tell whether what was so at a moment (monotonic) can be stored, as far as anybody knows yet."""
        point = self._before(moment)
        return point is not None and point >= self.changed

    def _before(self, moment: float) -> int | None:
        return self._samples.before(moment, self.epoch) if self._samples is not None else None

    def refuse(self, reason: str) -> None:
        """Keep this value from being stored; an outer one may still be."""
        if not self.closed:
            self.refusal = self.refusal or reason

    def spoil(self, reason: str) -> None:
        """Keep this value and every outer one from being stored: what it read cannot be named."""
        if not self.closed:
            self.taint = self.taint or reason

    @property
    def tags(self) -> bytes:
        """Return all dependencies, encoded."""
        return dependencies.merge(self._tags.copy(), self._blobs.copy(), self.key)  # a thread may still be reading

    @property
    def obstacle(self) -> str:
        """Return why the value may not be stored, or nothing."""
        return self.taint or self.refusal


@contextmanager
def capturing(capture: Capture | None) -> Iterator[None]:
    """Collect into `capture` what is read inside; None turns collecting off."""
    token = current.set(capture)
    try:
        yield
    finally:
        put_back(current, token)


@contextmanager
def reading_primaries(*, only: bool = True) -> Iterator[None]:
    """Read from primaries only inside, and in every computation inside, where `only` says so."""
    token = on_primary.set(only or on_primary.get())
    try:
        yield
    finally:
        put_back(on_primary, token)


def depend(*texts: str) -> None:
    """Add tags to whatever is being computed now. Raises InvalidTag."""
    for text in texts:
        tags.dependency(text)
    if (capture := current.get()) is not None:
        capture.depend(*texts)
