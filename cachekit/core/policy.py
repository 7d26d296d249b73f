"""How an entry is kept: one frozen value, passed whole."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from cachekit.core.codecs import Codec
from cachekit.core.formats import format_of

FOR_EVER = 100 * 366 * 86_400
"""A timeout beyond a hundred years means none, whatever number says so."""

NEAR = (True, False, "hot")
ALIAS_NEAR = (*NEAR, "tell")
"""What OPTIONS of an alias say: "tell" keeps nothing, and lets those who do know what it writes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """How long a door's entries live and how they are renewed; times in seconds."""

    timeout: float | None = 300
    """None: until invalidated or evicted; 0: never stored."""
    negative_timeout: float = 30
    """The most that `None` and empty results live."""
    jitter: float = 0.1
    """The share of the timeout that is shortened at random."""
    grace: float = 0
    """How long an *expired* entry may be served while somebody renews it; an invalidated one never is."""
    wait: float = 5
    """How long to wait for another's computation."""
    beta: float = 1.0
    """How eagerly an entry is renewed before it expires (XFetch); 0 never."""
    codec: str = ""
    """How values are written: `pickle`, `json` or `msgpack`; empty as the alias says."""
    near: bool | str = False
    """Whether it is also kept in the process, and judged by the mirror: a read may miss what the last 0.4 s brought.
    `"hot"`: only what is asked for often."""
    tags: tuple[str, ...] = ()
    """What every entry depends on beside what it reads through the ORM."""
    memo: bool = False
    """Whether a request that has a memo is given what it has read before."""
    newer_than_snapshot: bool = False
    """Whether a transaction that reads a snapshot is given entries that are newer than it."""
    lease: bool = True
    """Whether processes take turns computing: not worth its round trips for what takes no longer than they do."""
    audit: bool = True
    """Whether values may be computed once more and compared; not those that differ each time by themselves."""
    volatile: bool = False
    """Whether what SQL answers differently each time (`Now()`, `order_by("?")`) may be kept for the timeout."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, and a codec whose library is missing."""
        if self.timeout is not None and not _is_measure(self.timeout):
            raise ValueError(f"timeout is a number of seconds, 0 or more, or None for no limit; not {self.timeout!r}")
        for name in ("negative_timeout", "grace", "wait", "beta"):
            if not _is_measure(value := getattr(self, name)) or (math.isinf(value) and name != "negative_timeout"):
                raise ValueError(f"{name} is a number, 0 or more; not {value!r}")
        if not _is_measure(self.jitter) or self.jitter >= 1:
            raise ValueError(f"jitter is a share of the timeout, from 0 to below 1; not {self.jitter!r}")
        if self.near not in NEAR:
            raise ValueError(f"near is True, False or 'hot'; not {self.near!r}")
        if self.codec:
            format_of(self.codec)
        tags: object = self.tags
        if isinstance(tags, str):
            raise TypeError(f"tags is a tuple of strings; write tags=({tags!r},)")

    def lifetime(self, value: Any, dice: float) -> float:
        """Return the seconds a value lives, `math.inf` without a limit; `dice` in [0, 1) spreads expiry."""
        timeout = math.inf if self.timeout is None else self.timeout
        if is_negative(value):
            timeout = min(timeout, self.negative_timeout)
        return math.inf if timeout > FOR_EVER else timeout * (1 - self.jitter * dice)


@dataclasses.dataclass(frozen=True, slots=True)
class Spec:
    """One thing to get or to compute: where it is kept, by what policy, and for whose statistics."""

    alias: str
    key: str
    door: str
    name: str
    policy: Policy
    codec: Codec
    tags: tuple[str, ...] = ()
    """The door's own tags, beside those of the policy."""
    hit: tuple[Any, ...] | None = dataclasses.field(default=None, compare=False)
    """The event that is told of a hit, made once."""


def is_negative(value: Any) -> bool:
    """Tell whether a result is "nothing there": None, or an empty container or text."""
    return value is None or (
        hasattr(value, "__len__") and isinstance(value, (list, tuple, dict, set, frozenset, str, bytes)) and not value
    )


def _is_measure(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0  # which no NaN is
