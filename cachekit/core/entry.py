"""The envelope around a stored value, and the law that says whether it may be served."""

from __future__ import annotations

import math
import struct
from enum import Enum
from typing import NamedTuple

from cachekit.core.tags import longest_in

FORMAT = b"\xc1\x03"
"""How an entry begins; no text, pickle, msgpack or compressed value does. An entry of another format is missing."""
_HEAD = struct.Struct(">2sQ8sIeH")
_LONG = struct.Struct(">Q")
_OLDER, _EXACT, _NAMED = 1 << 63, 1 << 62, 1 << 61
"""Bits of the read point: its oldest computation began earlier, and when follows; so does an unusual expiry; and where
the key holds a name that is left out of the tags."""
_POINT = _NAMED - 1
_ENDLESS = 2**32 - 1
_COST_UNIT = 2**14
"""Costs are kept with eleven bits of precision, up to 18 minutes."""
_GREATEST_COST = 65_504.0
NEVER = 2**63 - 1
"""The soft expiry of an entry without a timeout, and the point of what was lost: later than every read point."""
_LEAST = 5e-324


class Header(NamedTuple):
    """What an entry says of itself; times in microseconds of its ledger's clock."""

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


def seal(header: Header, payload: bytes, key: str = "") -> bytes:
    """Put a payload into its envelope: 26 bytes and the tags.

    The expiry is kept to the millisecond; the start of the oldest computation where it is not the read point. A door's
    name, or a table's, that is part of the key is not written once more.
    """
    epoch, read_point, oldest, expiry, cost, tags = header
    point, more = read_point, b""
    if oldest != read_point:
        point, more = point | _OLDER, _LONG.pack(oldest)
    late = _ENDLESS if expiry == NEVER else expiry // 1000 - read_point // 1000
    if expiry != NEVER and not 0 <= late < _ENDLESS:
        point, more, late = point | _EXACT, more + _LONG.pack(expiry), 0
    if key and (place := longest_in(key.encode(), tags)) and max(place) < 256:
        at, where, length = place
        point, more, tags = point | _NAMED, more + bytes((at, where)), tags[:at] + tags[at + length :]
    kept = min(cost / _COST_UNIT, _GREATEST_COST)
    return b"%b%b%b%b" % (_HEAD.pack(FORMAT, point, epoch, late, kept, len(tags)), more, tags, payload)


def unseal(data: bytes | None, key: str | bytes = "") -> tuple[Header | None, bytes]:
    """Take an envelope apart that was found under a key; whatever is not one counts as missing."""
    if data is None or len(data) < _HEAD.size or data[:2] != FORMAT:
        return None, b""
    _, point, epoch, late, cost, length = _HEAD.unpack_from(data)
    read_point = oldest = point & _POINT
    expiry = NEVER if late == _ENDLESS else (read_point // 1000 + late) * 1000
    at = _HEAD.size
    name: bytes | None = b""
    if point != read_point:
        if len(data) < at + 8 * (point >> 62).bit_count() + 2 * bool(point & _NAMED):
            return None, b""
        if point & _OLDER:
            (oldest,), at = _LONG.unpack_from(data, at), at + 8
        if point & _EXACT:
            (expiry,), at = _LONG.unpack_from(data, at), at + 8
        if point & _NAMED:
            name, at = _named(data, at, length, key), at + 2
    start = at + length
    if len(data) < start or name is None:
        return None, b""
    tags = data[at:start]
    if name:
        tags = tags[: data[at - 2]] + name + tags[data[at - 2] :]
    return Header(epoch, read_point, oldest, expiry, int(cost * _COST_UNIT), tags), data[start:]


def _named(data: bytes, at: int, length: int, key: str | bytes) -> bytes | None:
    """Return the name that is left out of the tags; None where the key does not hold it."""
    text = key.encode() if isinstance(key, str) else key
    where, start = data[at], data[at + 1]
    if not 2 <= where <= length or len(data) < at + 2 + length:
        return None
    name = text[start : start + data[at + 1 + where]]
    return name if len(name) == data[at + 1 + where] else None


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
