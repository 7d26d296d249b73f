"""A server without room refuses to write: nothing stale is served, and nothing fails."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from cachekit import cached, invalidate
from cachekit.stores import store_for
from cachekit.stores.redis import RedisStore
from tests.servers import Valkey


def test_what_a_full_server_cannot_be_told_is_stale(own_valkey: Valkey, use_cache: Callable[..., None]) -> None:
    use_cache(own_valkey.url)
    numbers = count()

    @cached(timeout=600, name="number", alias="default", tags=("numbers",))
    def number() -> int:
        return next(numbers)

    store = store_for("default")
    assert isinstance(store, RedisStore)
    assert [number(), number()] == [0, 0]

    store.client.config_set("maxmemory", "1")
    told = invalidate("numbers", alias="default")
    full = [number(), number()]
    store.client.config_set("maxmemory", "0")
    empty = [number(), number()]

    assert told
    assert full == [1, 2]
    assert empty[0] > 2
