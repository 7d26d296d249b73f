"""Find the store and the line of a cache, which Django makes anew for each thread and task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachekit.backends.codec import Codec
from cachekit.backends.line import Line
from cachekit.stores import store_for
from cachekit.stores.redis import RedisStore

if TYPE_CHECKING:
    from cachekit.backends.calling import Calling

_lines: dict[str, Line] = {}
_strays: dict[str, RedisStore] = {}


def store_of(cache: Calling) -> RedisStore:
    """Return the store of a cache: its alias's, or one of its own for a cache that was made by hand."""
    if cache.alias:
        store = store_for(cache.alias)
        if isinstance(store, RedisStore):
            return store
    name = repr(cache._given)  # noqa: SLF001 - a friend: it was made from these
    if name not in _strays:
        _strays.setdefault(name, made_store(cache, cache.alias))
    return _strays[name]


def made_store(cache: Calling, alias: str) -> RedisStore:
    """Make the store on a cache's primary server; it and the cache share one connection pool."""
    return RedisStore(alias, prefix_of(cache), cache.client.get_client(write=True))


def line_for(cache: Calling) -> Line:
    """Return the line of a cache; a new one when its store was forgotten."""
    store = store_of(cache)
    name = cache.alias or repr(cache._given)  # noqa: SLF001 - as above
    line = _lines.get(name)
    if line is None or line.primary is not store:
        line = _lines[name] = made_line(cache, store)
    return line


def made_line(cache: Calling, store: RedisStore) -> Line:
    """Make the line of a cache to its primary and its replicas."""
    options = cache._params["OPTIONS"]  # noqa: SLF001 - as above
    client = cache.client
    replicas = [
        RedisStore(store.alias, store.prefix, client.connect(index), judges=False)
        for index in range(1, len(cache._server))  # noqa: SLF001
    ]
    return Line(
        store,
        replicas,
        Codec(options),
        near=options.get("NEAR", False),
        failover=not options.get("REPLICA_READ_ONLY", True),
    )


def prefix_of(cache: Calling) -> str:
    """Return the prefix of everything that cachekit's other doors keep under a cache's KEY_PREFIX."""
    return f"{cache.key_prefix}:ck" if cache.key_prefix else "ck"
