"""Collect what a computation reads, so that nobody has to name its tags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from cachekit.core import tags
from cachekit.core.entry import NEVER, Header

current: Final[ContextVar[Capture | None]] = ContextVar("cachekit_capture", default=None)


class Capture:
    """The dependencies of one computation, and the moment at which all of them are known to have been true."""

    __slots__ = ("_blobs", "_tags", "epoch", "expiry", "names_tags", "oldest", "read_point", "refusal", "taint")

    def __init__(self, epoch: bytes, read_point: int, names: Iterable[str] = ()) -> None:
        self.epoch = epoch
        self.read_point = read_point
        self.oldest = read_point
        self.expiry = NEVER
        self.refusal = ""
        """Why this value must not be stored."""
        self.taint = ""
        """Why neither this value nor one that contains it may be stored."""
        self._tags = set(names)
        self.names_tags = bool(self._tags)
        """Whether its door says what it depends on, so that reads which cannot be understood are its own affair."""
        self._blobs: set[bytes] = set()

    def depend(self, *texts: str) -> None:
        """Add tags."""
        self._tags.update(texts)

    def take_in(self, inner: Header, read_point: int) -> None:
        """Add an inner entry: its tags, its read point (perhaps re-dated), its age and its expiry."""
        if inner.epoch != self.epoch:
            self.spoil("it contains an entry of another epoch")
        self._blobs.add(inner.tags)
        self.read_point = min(self.read_point, read_point)
        self.oldest = min(self.oldest, inner.oldest)
        self.expiry = min(self.expiry, inner.expiry)

    def refuse(self, reason: str) -> None:
        """Keep this value from being stored; an outer one may still be."""
        self.refusal = self.refusal or reason

    def spoil(self, reason: str) -> None:
        """Keep this value and every outer one from being stored: what it read cannot be named."""
        self.taint = self.taint or reason

    @property
    def tags(self) -> bytes:
        """Return all dependencies, encoded."""
        return tags.merge(self._tags, self._blobs)

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
        current.reset(token)


def depend(*texts: str) -> None:
    """Add tags to whatever is being computed now. Raises InvalidTag."""
    for text in texts:
        tags.dependency(text)
    if (capture := current.get()) is not None:
        capture.depend(*texts)
