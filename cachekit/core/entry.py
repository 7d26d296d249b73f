"""The envelope around a stored value, and the law that says whether it may be served."""

from __future__ import annotations

import math
import struct
from enum import Enum
from typing import NamedTuple

FORMAT = b"CK\x01"
_HEAD = struct.Struct(">3sB8sQQQIH")
NEVER = 2**63 - 1
"""The soft expiry of an entry without a timeout, and the point of what was lost: later than every read point."""
_LEAST = 5e-324


class Header(NamedTuple):
    """What an entry says of itself; times in microseconds of its ledger's clock."""

    codec: int
    epoch: bytes
    read_point: int
    oldest: int
    """The start of the oldest computation in it; unlike the read point never re-dated."""
    expiry: int
    cost: int
    """How long its computation took."""
    tags: bytes


class Found(NamedTuple):
    """What a store knows of a key: its entry, and what the ledger says of the entry's tags now."""

    header: Header | None
    payload: bytes
    epoch: bytes
    last: int
    """The ledger time up to which this answer is complete."""
    newest: int
    """The newest invalidation point among the entry's tags."""
    since: int = 0
    """What was begun before may not be served: no relay attests that this server has been told of every write."""


class Verdict(Enum):
    """What the law says of an entry."""

    FRESH = "hit"
    EARLY = "early"
    """Fresh, but worth renewing before it expires."""
    EXPIRED = "expired"
    """Its time is over, though nothing it depends on has changed."""
    STALE = "stale"
    """Invalidated, or of another epoch."""
    MISSING = "miss"


def seal(header: Header, payload: bytes) -> bytes:
    """Put a payload into its envelope."""
    cost = min(header.cost, 2**32 - 1)
    return b"%b%b%b" % (
        _HEAD.pack(
            FORMAT, header.codec, header.epoch, header.read_point, header.oldest, header.expiry, cost, len(header.tags)
        ),
        header.tags,
        payload,
    )


def unseal(data: bytes | None) -> tuple[Header | None, bytes]:
    """Take an envelope apart; whatever is not one counts as missing."""
    if data is None or len(data) < _HEAD.size or data[:3] != FORMAT:
        return None, b""
    _, codec, epoch, read_point, oldest, expiry, cost, length = _HEAD.unpack_from(data)
    start = _HEAD.size + length
    if len(data) < start:
        return None, b""
    return Header(codec, epoch, read_point, oldest, expiry, cost, data[_HEAD.size : start]), data[start:]


def judge(found: Found, now: int, dice: float = 1.0) -> Verdict:
    """Apply the law: fresh if and only if nothing it depends on was invalidated since its read point.

    `now` is the ledger's clock in microseconds. `dice` in (0, 1] renews early with a chance that grows as the
    expiry nears (XFetch: Vattani, Chiarandini, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", 2015).
    """
    header = found.header
    if header is None:
        return Verdict.MISSING
    if header.oldest < found.since:
        return Verdict.STALE
    if header.epoch != found.epoch or found.newest > header.read_point:
        return Verdict.STALE
    if header.expiry <= now:
        return Verdict.EXPIRED
    if dice < 1.0 and now - header.cost * math.log(dice or _LEAST) >= header.expiry:
        return Verdict.EARLY
    return Verdict.FRESH
