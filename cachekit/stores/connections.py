"""Make connection pools for django-redis the way a cache needs them: short timeouts, no hidden retries."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from django.core.exceptions import ImproperlyConfigured

from cachekit.exceptions import MissingExtra

try:
    from django_redis.pool import ConnectionFactory as _ConnectionFactory
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.connection import FALSE_STRINGS, ConnectionPool
    from redis.retry import Retry

    from cachekit.stores.sentinel import LedConnection, LedSSLConnection, Sentinels
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
    if "sentinel" in scheme:
        raise ImproperlyConfigured(
            f"LOCATION cannot begin with {scheme}://. Write redis://<name of the master>/0, and the addresses of the "
            'sentinels into OPTIONS: "SENTINELS": [("host", 26379), …].'
        )
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
    """django-redis's factory, with pools told apart by URL *and* options (its own takes the URL alone).

    With SENTINELS among the options it stands in for django-redis's SentinelConnectionFactory.
    """

    _own_pools: dict[str, ConnectionPool] = {}  # noqa: RUF012 - one per process, as in the parent

    def get_or_create_connection_pool(self, params: dict[str, Any]) -> ConnectionPool:
        """Return the process's pool for these parameters."""
        params = {**params, "url": translated(params["url"])}
        name = repr(sorted((key, repr(value)) for key, value in {**params, **self.pool_cls_kwargs}.items()))
        name += self.pool_cls.__qualname__
        name += repr([self.options.get(option) for option in ("SENTINELS", "SENTINEL_KWARGS")])
        if name not in self._own_pools:
            self._own_pools.setdefault(name, self.get_connection_pool(params))
        return self._own_pools[name]

    def get_connection_pool(self, params: dict[str, Any]) -> ConnectionPool:
        """Return a new pool; what the project says goes before our defaults."""
        params = {**pool_defaults(params["url"]), **params}
        if self.options.get("SENTINELS"):
            params = led(params, self.options)
        pool: ConnectionPool = super().get_connection_pool(params)
        return pool


def led(params: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a pool whose connections go where the sentinels say; the URL's host names the service.

    `is_master=0` in the URL leads to a replica, as in django-redis.
    """
    url = urlsplit(params["url"])
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    replica = query.pop("is_master", "1").upper() in FALSE_STRINGS
    service = unquote(url.netloc.rpartition("@")[2].partition(":")[0])  # not `hostname`, which is in lower case
    if url.scheme not in ("redis", "rediss") or not service:
        raise ImproperlyConfigured(
            f"With SENTINELS, LOCATION must name the master, such as redis://mymaster/0, not {masked(params['url'])!r}"
        )
    sentinels = Sentinels(service, _sentinel_pools(params, options), replica=replica)
    return {
        **params,
        "url": urlunsplit(url._replace(query=urlencode(query))),
        "connection_class": LedSSLConnection if url.scheme == "rediss" else LedConnection,
        "sentinels": sentinels,
    }


def _sentinel_pools(params: dict[str, Any], options: dict[str, Any]) -> list[ConnectionPool]:
    """Return pools to the sentinels: our short waits, or those of the alias, or what SENTINEL_KWARGS says."""
    waits = {name: value for name, value in params.items() if name in (*pool_defaults(""), "socket_keepalive")}
    kwargs = {**waits, **(options.get("SENTINEL_KWARGS") or {})}
    try:
        addresses = [(str(host), int(port)) for host, port in options["SENTINELS"]]
    except (TypeError, ValueError) as error:
        found = options["SENTINELS"]
        raise ImproperlyConfigured(f'SENTINELS must be a list such as [("host", 26379)], not {found!r}') from error
    return [Redis(host=host, port=port, **kwargs).connection_pool for host, port in addresses]
