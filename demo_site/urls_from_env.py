"""What the environment's URLs mean: cache servers and brokers, translated or refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from django.core.exceptions import ImproperlyConfigured

ALIASES = {"valkey": "redis", "valkeys": "rediss", "valkey+unix": "unix", "redis+socket": "unix"}
WORKS = "redis://host:6379/0, rediss:// (TLS), unix:///path/to.sock?db=0, valkey:// or valkeys://"
TOPOLOGIES = ("sentinel", "cluster")


def redis_url(text: str, *, variable: str = "CACHE_URL") -> str:
    """Return the URL of one Redis or Valkey server as redis-py spells it; refuse anything else."""
    scheme = text.strip().partition("://")[0].lower()
    if any(word in scheme for word in TOPOLOGIES):
        raise ImproperlyConfigured(
            f"{variable} uses {scheme}://, but the demo takes the URL of one server. "
            f"Write {WORKS}. Sentinel needs settings of its own: docs/how-to/use-sentinel.md."
        )
    parts = _split(text, variable)
    scheme = parts.scheme
    scheme = ALIASES.get(scheme, scheme)
    if scheme not in {"redis", "rediss", "unix"}:
        raise ImproperlyConfigured(f"{variable} uses {scheme or 'no scheme'!r}, unknown here. What works: {WORKS}.")
    if scheme == "unix" and not parts.path.strip("/"):
        raise ImproperlyConfigured(f"{variable} names no socket. Write it as unix:///path/to.sock?db=0.")
    if scheme != "unix" and not parts.hostname:
        raise ImproperlyConfigured(f"{variable} names no host. What works: {WORKS}.")
    return _joined(parts._replace(scheme=scheme))


def cache_settings(text: str | None) -> dict[str, Any]:
    """Return `CACHES["default"]`: the server that the URL names, or this process's memory where there is none."""
    if not text:
        return {"BACKEND": "cachekit.backends.MemoryCache", "LOCATION": "demo"}
    return {"BACKEND": "cachekit.backends.RedisCache", "LOCATION": redis_url(text), "KEY_PREFIX": "demo"}


def broker_url(cache_url: str | None, explicit: str | None = None) -> str:
    """Return Celery's broker: the one that is named, else another database of the cache's server, else memory."""
    if explicit and not explicit.lower().startswith(("valkey", "unix")):
        return explicit
    if explicit:
        return _for_kombu(redis_url(explicit, variable="CELERY_BROKER_URL"), shift=0)
    if not cache_url:
        return "memory://"
    return _for_kombu(redis_url(cache_url), shift=1)


def _for_kombu(url: str, *, shift: int) -> str:
    """Spell a redis-py URL as kombu wants it, `shift` databases further on (of the usual 16)."""
    parts = urlsplit(url)
    options = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
    in_path = parts.scheme != "unix" and parts.path.strip("/")
    number = in_path or options.pop("db", "") or "0"
    if not number.isdigit():
        raise ImproperlyConfigured(f"CACHE_URL names the database {number!r}; it must be a number from 0 to 15.")
    database = (int(number) + shift) % 16
    options.pop("db", None)
    if parts.scheme == "unix":
        options["virtual_host"] = str(database)
        return _joined(parts._replace(scheme="redis+socket", query=_query(options)))
    if parts.scheme == "rediss":
        options["ssl_cert_reqs"] = options.get("ssl_cert_reqs", "required")
    return _joined(parts._replace(path=f"/{database}", query=_query(options)))


def _split(text: str, variable: str) -> SplitResult:
    try:
        parts = urlsplit(text.strip())
        _ = parts.port
    except ValueError:
        # The text may hold a password, and so may the error; it is not repeated.
        raise ImproperlyConfigured(f"{variable} is not a URL of one server. What works: {WORKS}.") from None
    return parts


def _joined(parts: SplitResult) -> str:
    """Return the URL; a socket's keeps its empty host (`unix:///tmp/x.sock`)."""
    url = urlunsplit(parts)
    if not parts.netloc and not url.startswith(f"{parts.scheme}://"):
        return url.replace(f"{parts.scheme}:", f"{parts.scheme}://", 1)
    return url


def _query(options: dict[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in options.items())
