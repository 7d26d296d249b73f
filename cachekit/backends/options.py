"""Read LOCATION and OPTIONS, whether written for django-redis or for Django's own Redis backend."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

OUR_FACTORY = "cachekit.stores.connections.ConnectionFactory"
THEIR_FACTORY = "django_redis.pool.ConnectionFactory"
OUR_CLIENT = "cachekit.backends.client.Client"
THEIR_CLIENT = "django_redis.client.DefaultClient"
SAME_CLIENT = (OUR_CLIENT, THEIR_CLIENT, "django_redis.client.default.DefaultClient")
SENTINEL_FACTORY = "django_redis.pool.SentinelConnectionFactory"
SENTINEL_CLIENT = ("django_redis.client.SentinelClient", "django_redis.client.sentinel.SentinelClient")
SENTINEL_CLASSES = {
    "CLIENT_CLASS": SENTINEL_CLIENT,
    "CONNECTION_FACTORY": (SENTINEL_FACTORY,),
    "CONNECTION_POOL_CLASS": ("redis.sentinel.SentinelConnectionPool",),
}


def servers(location: str | Sequence[str]) -> list[str]:
    """Return the URLs of LOCATION: the primary first, then its replicas; Django also takes `;` between them."""
    found = re.split("[;,]", location) if isinstance(location, str) else list(location)
    if not any(found):
        raise ImproperlyConfigured("LOCATION of a RedisCache is empty. Write a URL, such as redis://localhost:6379/0")
    return [url.strip() for url in found if url.strip()]


def with_replicas(urls: list[str], options: Mapping[str, Any]) -> list[str]:
    """Return the URLs that django-redis's SentinelClient makes of one: the master, and a replica to read from."""
    if options.get("CLIENT_CLASS") not in SENTINEL_CLIENT or len(urls) != 1:
        return urls
    mark = "&" if "?" in urls[0] else "?"
    return [urls[0], f"{urls[0]}{mark}is_master=0"]


def translated(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return OPTIONS in django-redis's words.

    Django's backend writes its own in lower case: `serializer`, `pool_class`, `parser_class`, and whatever else a
    connection pool takes.
    """
    found = {name: value for name, value in options.items() if name.isupper()}
    pool = {name: value for name, value in options.items() if not name.isupper()}
    for theirs, ours in (("pool_class", "CONNECTION_POOL_CLASS"), ("parser_class", "PARSER_CLASS")):
        if theirs in pool:
            found[ours] = dotted(pool.pop(theirs))
    if "serializer" in pool:
        found["SERIALIZER"] = pool.pop("serializer")
    if pool:
        found["CONNECTION_POOL_KWARGS"] = {**pool, **found.get("CONNECTION_POOL_KWARGS", {})}
    _forget_sentinel_classes(found)
    factory = found.get("CONNECTION_FACTORY") or getattr(settings, "DJANGO_REDIS_CONNECTION_FACTORY", THEIR_FACTORY)
    found["CONNECTION_FACTORY"] = OUR_FACTORY if factory in (THEIR_FACTORY, SENTINEL_FACTORY) else factory
    found["CLIENT_CLASS"] = client_class(found.get("CLIENT_CLASS", THEIR_CLIENT))
    return found


def _forget_sentinel_classes(options: dict[str, Any]) -> None:
    """Leave out django-redis's and redis-py's classes for Sentinel: with SENTINELS our connections ask these."""
    named = [name for name, paths in SENTINEL_CLASSES.items() if options.get(name) in paths]
    if named and not options.get("SENTINELS"):
        raise ImproperlyConfigured(
            f"{named[0]} {options[named[0]]!r} needs the addresses of your sentinels. Add to OPTIONS: "
            '"SENTINELS": [("host", 26379), …]. For a single server remove the line.'
        )
    for name in named:
        del options[name]


def client_class(path: str) -> str:
    """Return our client's path for django-redis's default one. Raises ImproperlyConfigured for its other clients."""
    if path in SAME_CLIENT:
        return OUR_CLIENT
    if issubclass(import_string(path), import_string(OUR_CLIENT)):
        return path
    raise ImproperlyConfigured(
        f"CLIENT_CLASS {path!r} does not work with cachekit.backends.RedisCache, which serves one primary and its "
        "replicas. Remove the line for a single server, or keep BACKEND 'django_redis.cache.RedisCache' for this alias."
    )


def dotted(thing: Any) -> str:
    """Return the path of a class given as a path or as the class itself."""
    return thing if isinstance(thing, str) else f"{thing.__module__}.{thing.__qualname__}"
