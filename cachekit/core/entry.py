"""The envelope around a stored value, and the law that says whether it may be served."""

from __future__ import annotations

import math
import struct
from bisect import bisect
from enum import Enum
from typing import NamedTuple

from cachekit.core.groups import own

FORMAT = 0b101
"""Stands in the three highest bits of an entry's first byte, as in that of no text, pickle or compressed value, nor of
an earlier format's entry. An entry of another format is missing."""
_HEAD = struct.Struct(">BQH8sBB")
"""Format and flags; read point and expiry; epoch; cost; bytes of tags."""
_LONG = struct.Struct(">Q")
_OLDER, _EXACT, _SECONDS, _OWN, _WIDE = 1, 2, 4, 8, 16
"""Flags: its oldest computation began earlier, and when follows; so does an unusual expiry; the expiry counts seconds;
what the key says of its tags is left out of them; one more byte of their length follows."""
_MORE = _OLDER | _EXACT | _WIDE
_ENDLESS = 2**24 - 1
_COSTS = (0, *(round(2 ** (number / 8)) for number in range(255)))
"""Costs are rounded up, by nine per cent at most, and kept up to an hour."""
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
    """Put a payload into its envelope: 21 bytes and the tags.

    The expiry is kept to the millisecond, beyond four hours to the second; the start of the oldest computation where it
    is not the read point. What the key says of the tags is not written once more.
    """
    epoch, read_point, oldest, expiry, cost, tags = header
    flags, more = FORMAT << 5, b""
    if oldest != read_point:
        flags, more = flags | _OLDER, _LONG.pack(oldest)
    late = _ENDLESS if expiry == NEVER else expiry // 1000 - read_point // 1000
    if expiry != NEVER and late >= _ENDLESS:
        flags, late = flags | _SECONDS, (expiry - read_point) // 1_000_000
    if expiry != NEVER and not 0 <= late < _ENDLESS:
        flags, late, more = flags & ~_SECONDS | _EXACT, 0, more + _LONG.pack(expiry)
    if key and (known := own(key)) and tags.startswith(known):
        flags, tags = flags | _OWN, tags[len(known) :]
    length = len(tags)
    if length > 255:
        flags, length, more = flags | _WIDE, length >> 8, b"%b%c" % (more, length & 255)
    times = read_point << 8 | late >> 16
    head = _HEAD.pack(flags, times, late & 65_535, epoch, min(bisect(_COSTS, cost - 1), 255), length)
    return b"%b%b%b%b" % (head, more, tags, payload)


def unseal(data: bytes | None, key: str | bytes = "") -> tuple[Header | None, bytes]:
    """Take an envelope apart that was found under a key; whatever is not one counts as missing."""
    if data is None or len(data) < _HEAD.size:
        return None, b""
    flags, times, late, epoch, cost, length = _HEAD.unpack_from(data)
    if flags >> 5 != FORMAT:
        return None, b""
    read_point = oldest = times >> 8
    late |= (times & 255) << 16
    if flags & _SECONDS:
        expiry = read_point + late * 1_000_000
    else:
        expiry = NEVER if late == _ENDLESS else (read_point // 1000 + late) * 1000
    at = _HEAD.size
    if flags & _MORE:
        if len(data) < at + 8 * (flags & (_OLDER | _EXACT)).bit_count() + (flags & _WIDE > 0):
            return None, b""
        oldest, expiry, length, at = _more(data, flags, (oldest, expiry, length))
    start = at + length
    if len(data) < start:
        return None, b""
    tags = data[at:start]
    if flags & _OWN:
        known = own(key if isinstance(key, str) else key.decode(errors="replace"))
        if not known:
            return None, b""
        tags = known + tags
    return Header(epoch, read_point, oldest, expiry, _COSTS[cost], tags), data[start:]


def _more(data: bytes, flags: int, usual: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return oldest, expiry and length of an unusual entry, and where its tags begin."""
    (oldest, expiry, length), at = usual, _HEAD.size
    if flags & _OLDER:
        (oldest,), at = _LONG.unpack_from(data, at), at + 8
    if flags & _EXACT:
        (expiry,), at = _LONG.unpack_from(data, at), at + 8
    if flags & _WIDE:
        length, at = length << 8 | data[at], at + 1
    return oldest, expiry, length, at


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
