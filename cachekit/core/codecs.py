"""Codecs turn values into bytes and back; what cannot be read is told by one error, and counts as a miss."""

from __future__ import annotations

from typing import Any, Protocol

from cachekit.exceptions import CachekitError


class Undecodable(CachekitError, ValueError):
    """A payload does not verify or does not decode: it is counted and treated as a miss."""


class Codec(Protocol):
    """Values to bytes and back; the bytes say how they are read."""

    def dumps(self, value: Any) -> bytes:
        """Encode. Raises UncacheableValue."""

    def loads(self, payload: bytes) -> Any:
        """Decode. Raises Undecodable."""


class Format(Protocol):
    """One way to write values; what it writes begins with its number, which is never given to another."""

    number: int
    signed: bool
    """Whether reading runs code, so that nothing may be read that is not signed with our key."""

    def dumps(self, value: Any) -> bytes:
        """Encode. Raises UncacheableValue for what would come back as something else."""

    def loads(self, body: bytes) -> Any:
        """Decode. May raise anything."""
