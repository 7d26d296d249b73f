"""Asynchronous connections that lead where a pool's own connections lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio.connection import (
    AbstractConnection as AsyncConnection,
    Connection as AsyncTCPConnection,
    SSLConnection as AsyncSSLConnection,
    UnixDomainSocketConnection as AsyncUnixConnection,
)
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool, SSLConnection, UnixDomainSocketConnection

LEFT_OUT = frozenset({"retry", "parser_class", "connection_class", "connection_pool_class"})


def async_connection(pool: ConnectionPool) -> AsyncConnection:
    """Return a new connection, not yet connected; one try, as in the pool."""
    return _twin_of(pool.connection_class)(**_kwargs(pool))


def _twin_of(kind: Any) -> type[AsyncConnection]:
    """Return the asynchronous class beside a class of connections; ours name theirs as `twin`."""
    if named := getattr(kind, "twin", None):
        found: type[AsyncConnection] = named
        return found
    if issubclass(kind, UnixDomainSocketConnection):
        return AsyncUnixConnection
    return AsyncSSLConnection if issubclass(kind, SSLConnection) else AsyncTCPConnection


def _kwargs(pool: ConnectionPool) -> Mapping[str, Any]:
    kwargs = {name: value for name, value in pool.connection_kwargs.items() if name not in LEFT_OUT}
    return {**kwargs, "retry": AsyncRetry(NoBackoff(), 0)}
