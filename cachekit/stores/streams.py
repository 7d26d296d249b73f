"""Whether the ledger's events can be followed on the way to a server, for those who tell people."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cachekit.stores.base import Store
from cachekit.stores.turns import server_of

if TYPE_CHECKING:
    from cachekit.stores.redis import RedisStore


def refusal_of(store: Store) -> str:
    """Return why near values must be asked for each time though the server answers, or nothing.

    Raises StoreUnavailable.
    """
    if server_of(store) is None:
        return ""
    from cachekit.stores.channel import refusal  # noqa: PLC0415 - in memory all works without redis-py

    return refusal(cast("RedisStore", store))
