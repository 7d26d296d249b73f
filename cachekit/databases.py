"""Which aliases of DATABASES are replicas, of what, and how far behind they may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from cachekit.conf import conf

EXAMPLE = "Write REPLICAS = {'replica': {'of': 'default', 'lag': 5}}."


class Replica(NamedTuple):
    """An alias that shows another one's data, at most `lag` seconds late; 0 for another way to the same database."""

    of: str
    lag: float


@lru_cache(maxsize=1)
def replicas() -> Mapping[str, Replica]:
    """Return `CACHEKIT["REPLICAS"]`. Raises ImproperlyConfigured for what cannot be meant."""
    given: Any = conf().REPLICAS
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f"CACHEKIT['REPLICAS'] must be a dict, not {type(given).__name__}. {EXAMPLE}")
    found = {alias: _read(alias, one) for alias, one in given.items()}
    for alias, (of, _) in found.items():
        for name in (alias, of):
            if name not in settings.DATABASES:
                known = ", ".join(settings.DATABASES)
                raise ImproperlyConfigured(
                    f"CACHEKIT['REPLICAS'] names {name!r}, which is no alias of DATABASES. It has: {known}."
                )
        if of in found:
            raise ImproperlyConfigured(
                f"CACHEKIT['REPLICAS'] says that {alias!r} is a replica of {of!r}, which is a replica itself. "
                "Name the database that is written to, and a lag that counts from there."
            )
    return found


def _read(alias: Any, given: Any) -> Replica:
    if not isinstance(given, Mapping) or set(given) != {"of", "lag"}:
        raise ImproperlyConfigured(
            f"CACHEKIT['REPLICAS'][{alias!r}] must have the keys 'of' and 'lag', not {given!r}. {EXAMPLE}"
        )
    lag = given["lag"]
    if isinstance(lag, bool) or not isinstance(lag, (int, float)) or not 0 <= lag < math.inf:
        raise ImproperlyConfigured(
            f"CACHEKIT['REPLICAS'][{alias!r}]['lag'] is a number of seconds, 0 or more, not {lag!r}."
        )
    return Replica(given["of"], lag)


def primary_of(using: str) -> str:
    """Return the alias that is written to where this one is a replica, else the alias itself."""
    found = replicas().get(using)
    return found.of if found is not None else using


def written_to() -> list[str]:
    """Return the aliases of DATABASES that are no replicas, nor other ways to the same database."""
    return [using for using in settings.DATABASES if using not in replicas()]


def lag_of(using: str) -> float:
    """Return by how many seconds a database may be behind its primary; 0 for one that is its own."""
    found = replicas().get(using)
    return found.lag if found is not None else 0


def _forget(*, setting: str, **_: object) -> None:
    if setting in ("CACHEKIT", "DATABASES"):
        replicas.cache_clear()


setting_changed.connect(_forget, dispatch_uid="cachekit.databases")
