"""Make connection pools for django-redis the way a cache needs them: short timeouts, no hidden retries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from cachekit.exceptions import MissingExtra

try:
    from django_redis.pool import ConnectionFactory as _ConnectionFactory
    from redis.asyncio.retry import Retry as AsyncRetry
    from redis.backoff import NoBackoff
    from redis.connection import ConnectionPool
    from redis.retry import Retry
except ImportError as error:  # pragma: no cover - tried in a virtual environment of its own
    raise MissingExtra.of("redis") from error

CONNECT_TIMEOUT = 0.1
READ_TIMEOUT = 0.25
SCHEMES = {"valkey": "redis", "valkeys": "rediss"}


def translated(url: str) -> str:
    """Return `url` with a scheme that redis-py knows; Valkey speaks Redis' protocol."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        raise ImproperlyConfigured(f"LOCATION must be a URL such as redis://localhost:6379/0, not {masked(url)!r}")
    return f"{SCHEMES.get(scheme, scheme)}://{rest}"


def masked(url: str) -> str:
    """Return `url` without its password, for people to read."""
    before, at, host = url.rpartition("@")
    scheme, mark, credentials = before.rpartition("://")
    return f"{scheme}{mark}{credentials.partition(':')[0]}:***@{host}" if at else url


def pool_defaults(url: str) -> dict[str, Any]:
    """Return what every pool starts from: one try (redis-py's retries take 4-6 s to give up) and short waits."""
    defaults = {
        "socket_timeout": READ_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
    }
    defaults |= _without_handshake()
    return defaults if url.startswith("unix://") else {**defaults, "socket_keepalive": True}


def _without_handshake() -> dict[str, Any]:
    """Return what keeps redis-py from asking each new connection for maintenance notices; Valkey has none."""
    try:
        from redis.maint_notifications import MaintNotificationsConfig  # noqa: PLC0415 - not there before redis-py 7
    except ImportError:
        return {}
    return {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}


class ConnectionFactory(_ConnectionFactory):  # type: ignore[misc]  # django-redis has no types
    """django-redis's factory, with pools told apart by URL *and* options (its own takes the URL alone)."""

    _own_pools: dict[str, ConnectionPool] = {}  # noqa: RUF012 - one per process, as in the parent

    def get_or_create_connection_pool(self, params: dict[str, Any]) -> ConnectionPool:
        """Return the process's pool for these parameters."""
        params = {**params, "url": translated(params["url"])}
        name = repr(sorted((key, repr(value)) for key, value in {**params, **self.pool_cls_kwargs}.items()))
        name += self.pool_cls.__qualname__
        if name not in self._own_pools:
            self._own_pools.setdefault(name, self.get_connection_pool(params))
        return self._own_pools[name]

    def get_connection_pool(self, params: dict[str, Any]) -> ConnectionPool:
        """Return a new pool; what the project says goes before our defaults."""
        pool: ConnectionPool = super().get_connection_pool({**pool_defaults(params["url"]), **params})
        return pool


def async_kwargs(pool: ConnectionPool) -> Mapping[str, Any]:
    """Return what an asynchronous connection to the same server is made with."""
    left_out = {"retry", "parser_class", "connection_class", "connection_pool_class"}
    kwargs = {name: value for name, value in pool.connection_kwargs.items() if name not in left_out}
    return {**kwargs, "retry": AsyncRetry(NoBackoff(), 0)}
