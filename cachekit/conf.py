"""The setting `CACHEKIT`, read into one frozen value."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


@dataclasses.dataclass(frozen=True, slots=True)
class Conf:
    """Every key of `settings.CACHEKIT` with its default; times in seconds, sizes in bytes."""

    ALIAS: str = "default"
    """The alias of CACHES that the doors use where none is named."""
    ENABLED: bool = True
    """False makes every door compute, store nothing and still invalidate."""
    TIMEOUT: float = 300
    """How long an entry lives where its door does not say."""
    NEGATIVE_TIMEOUT: float = 30
    """How long `None` and empty results live, at most."""
    JITTER: float = 0.1
    """The share of a timeout that is shortened at random, so that entries do not expire together."""
    LEASE_WAIT: float = 5
    """How long a reader waits for another's computation before it computes for itself."""
    MAX_VALUE_BYTES: int = 8 * 1024 * 1024
    """Larger values are handed out but not stored."""
    CODEC: str = "pickle"
    """How values are written that are no plain text, bytes or numbers: `pickle` (signed), `json` or `msgpack`."""
    COMPRESSOR: str = ""
    """What compresses large values: `zlib`, `lz4`, `zstd`, or nothing."""
    COMPRESS_FROM: int = 1024
    """How large a value must be to be compressed."""
    NEAR: bool | str = False
    """Whether doors keep what they hand out in the process too, where they do not say so; `hot`: the hottest of it."""
    NEAR_ENTRIES: int = 10_000
    """The most entries that a process keeps of an alias."""
    NEAR_BYTES: int = 64 * 1024 * 1024
    """The most bytes, more or less, that they take."""
    MEMO: bool = True
    """Whether doors that do not say so are remembered by the memo of a request, where there is one."""
    BREAKER_FAILURES: int = 3
    """So many failures in a row open the circuit."""
    BREAKER_PAUSE: float = 1
    """So long an open circuit waits before it lets one call try."""
    DEBUG_HEADER: bool = False
    """Whether `cached_view` says HIT, MISS or BYPASS in the header X-Cachekit."""
    MAX_STALENESS: float = 0
    """The oldest that is served while no relay attests that the server was told of every write; 0 asks for none."""
    OUTBOX: str = "outages"
    """What passes through the outbox: `outages`, what a cache could not be told, or `always`, every invalidation."""
    OUTBOX_RETENTION: float = 3600
    """How long rows are kept, with `always`, to be told again to a cache server that was restored or promoted."""
    STATS_INTERVAL: float = 10
    """How often a process sends its counts to the store; 0 turns statistics off."""
    REPLICAS: dict[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    """The aliases of DATABASES that are replicas: of which other, and how many seconds they may be behind."""
    MODELS: dict[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    """Which apps and models answer from the cache without a word in their code: their rows, their queries."""
    NEWER_THAN_SNAPSHOT: bool = False
    """Whether a transaction that reads a snapshot is given entries that are newer than it."""
    TENANT: str = ""
    """The dotted path of a callable that names the tenant of the moment."""
    SHARED: tuple[str, ...] = ()
    """Apps and models whose tables all tenants share."""
    AUDIT: int = 0
    """One hit in so many is computed once more and compared; 0 none."""
    SHADOW: bool | tuple[str, ...] = False
    """Whether doors only pretend to cache: they compute, serve that, and compare; or the aliases and doors that do."""


NAMES = frozenset(field.name for field in dataclasses.fields(Conf))


def given() -> Mapping[str, Any]:
    """Return `settings.CACHEKIT` as the project wrote it."""
    found = getattr(settings, "CACHEKIT", {})
    if not isinstance(found, Mapping):
        raise ImproperlyConfigured(f"CACHEKIT must be a dict such as {{'TIMEOUT': 300}}, not {type(found).__name__}")
    return found


@lru_cache(maxsize=1)
def conf() -> Conf:
    """Return the settings in force; names it does not know are left to the system check `cachekit.E001`."""
    return Conf(**{name: _frozen(value) for name, value in given().items() if name in NAMES})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, set, frozenset)) else value


def _forget(*, setting: str, **_: object) -> None:
    if setting == "CACHEKIT":
        conf.cache_clear()


setting_changed.connect(_forget, dispatch_uid="cachekit.conf")
