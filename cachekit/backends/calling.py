"""How a cache makes its calls: names checked, plans carried out, and an answer where the server gives none."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

from django.conf import settings
from django.core.cache.backends.base import DEFAULT_TIMEOUT, MEMCACHE_MAX_KEY_LENGTH, BaseCache, default_key_func
from django_redis.cache import RedisCache as DjangoRedisCache
from django_redis.util import CacheKey
from redis.exceptions import ConnectionError as RedisConnectionError, RedisError, ResponseError

from cachekit import hooks
from cachekit.backends.aliases import alias_of
from cachekit.backends.calls import MISSING, NotANumber
from cachekit.backends.directory import line_for, store_of
from cachekit.backends.families import family, start_of
from cachekit.backends.generation import Plan
from cachekit.backends.line import Line
from cachekit.backends.nearby import Nearby
from cachekit.backends.options import servers, translated, with_replicas
from cachekit.core.codecs import Undecodable
from cachekit.exceptions import InvalidKey, StoreUnavailable
from cachekit.stores.directory import standing
from cachekit.stores.redis import RedisStore

logger = logging.getLogger("cachekit.backends")

Answer = TypeVar("Answer")

AWAY = object()
"""The server did not answer, and the caller has not asked to be told."""

MAX_KEY_LENGTH = 65_536
_doubtful = re.compile(r"[\x00-\x20\x7f]").search
MOST_STARTS = 500
_PLAIN_KEYS = {str, int}
_warned: set[str] = set()


class Calling(DjangoRedisCache):  # type: ignore[misc]  # django-redis has no types
    """What every call of `RedisCache` needs; like a cache with nothing in it while the server is away."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        self._given = (server, params)
        given = params.get("OPTIONS", {})
        options = translated(given)
        super().__init__(with_replicas(servers(server), given), {**params, "OPTIONS": options})
        if "IGNORE_EXCEPTIONS" not in options:
            self._ignore_exceptions = ignores_by_default()
        self._validates = type(self).validate_key is not BaseCache.validate_key
        self._plain = self.key_func is default_key_func and type(self).make_key is DjangoRedisCache.make_key
        """Whether keys are made as Django makes them."""
        self._alias: str | None = None
        self._line: Line | None = None
        self._hits: dict[Any, hooks.Lookup] = {}
        self._nearby: Nearby | None = None
        """What this process has read of the alias, once it knows that it keeps that."""

    @property
    def alias(self) -> str:
        """The alias of CACHES that this cache was made for; empty where it was made by hand."""
        if self._alias is None:
            self._alias = alias_of(*self._given)
        return self._alias

    @property
    def cachekit_store(self) -> RedisStore:
        """The store that cachekit's other doors use under the same alias."""
        return store_of(self)

    @property
    def line(self) -> Line:
        """The way to the server, shared by all threads of this process."""
        line = self._line
        if line is None or (line.primary is not standing(self._alias or "") and line.primary is not store_of(self)):
            self._line = line = line_for(self)
            self._nearby = line.nearby if self._plain else None
        return line

    def hang_up(self) -> None:
        """Close the idle connections, if there can be any."""
        if self._line is not None:
            self._line.close()

    def get_backend_timeout(self, timeout: Any = DEFAULT_TIMEOUT) -> Any:
        """Return a timeout in seconds, at least 0, or None for ever."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        return None if timeout is None else max(0, timeout)

    def milliseconds(self, timeout: Any) -> int | None:
        """Return a timeout as the server takes it; None for ever."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        return None if timeout is None else int(timeout * 1000)

    def named(self, key: Any, version: int | None) -> str:
        """Return a key as Django makes it; warns as Django does. Raises InvalidKey for what no server should hold."""
        if self._plain and type(key) is str:
            name = f"{self.key_prefix}:{self.version if version is None else version}:{key}"
            if len(name) <= MEMCACHE_MAX_KEY_LENGTH and name.isprintable() and " " not in name and not self._validates:
                return name
        if isinstance(key, CacheKey):  # django-redis's word for a key that was made already
            return self.line.generation.without(key)
        name = str(self.make_key(key, version))
        if self._validates or len(name) > MEMCACHE_MAX_KEY_LENGTH or _doubtful(name):
            if len(name) > MAX_KEY_LENGTH:
                raise InvalidKey(
                    f"A cache key of {len(name):,} characters ({name[:40]!r}…) is too long: {MAX_KEY_LENGTH:,} are "
                    "allowed. Put a hash of the long part into the key instead."
                )
            self.validate_key(name)
        return name

    def all_named(self, keys: Iterable[Any], version: int | None) -> dict[str, Any]:
        """Return {name: key}; what nobody doubts is looked at in one piece."""
        keys = list(keys)
        if self._plain and not self._validates and set(map(type, keys)) <= _PLAIN_KEYS:
            prefix = f"{self.key_prefix}:{self.version if version is None else version}:"
            names = [f"{prefix}{key}" for key in keys]
            text = "".join(names)
            if text.isprintable() and " " not in text and max(map(len, names), default=0) <= MEMCACHE_MAX_KEY_LENGTH:
                return dict(zip(names, keys, strict=True))
        return {self.named(key, version): key for key in keys}

    def _run(self, plan: Plan[Answer], away: Any) -> Any:
        """Carry out a plan; return `away` where the server is, unless the project wants to see the error."""
        try:
            return self.line.run(plan)
        except (StoreUnavailable, ResponseError) as error:
            return self.answered(error, away)

    async def _arun(self, plan: Plan[Answer], away: Any) -> Any:
        """Like `_run`."""
        try:
            return await self.line.arun(plan)
        except (StoreUnavailable, ResponseError) as error:
            return self.answered(error, away)

    def answered(self, error: Exception, away: Any) -> Any:
        """Return `away`, unless the project wants to see what redis-py raised."""
        if isinstance(error, NotANumber):
            raise error
        if not self._ignore_exceptions:
            reraise(error)
        if self._log_ignored_exceptions:
            self.logger.error("Exception ignored", exc_info=error)
        return away

    def _looked_up(self, key: Any, found: Any, default: Any) -> Any:
        """Count how a look-up ended and return what it found."""
        if type(key) is str and found is not MISSING and found is not AWAY and type(found) is not Undecodable:
            start = start_of(key)
            hit = self._hits.get(start and start.group())
            hooks.looked_up(hit or self._hit(key))
            return found
        hooks.tell(hooks.Lookup(self.alias, "backend", family(str(key)), self._result(found)))
        return default if found is MISSING or found is AWAY or type(found) is Undecodable else found

    def _all_looked_up(self, found: Any, asked: int) -> dict[Any, Any]:
        """Count how each of so many look-ups ended and return what was found."""
        if found is AWAY:
            hooks.tell(hooks.Lookup(self.alias, "backend", "get_many", "error"))
            return {}
        hits: dict[Any, Any] = found.hits
        for error in found.unread:
            hooks.tell(hooks.Lookup(self.alias, "backend", "get_many", self._result(error)))
        hooks.tell_many(hooks.Lookup(self.alias, "backend", "get_many", "hit"), len(hits))
        misses = asked - len(hits) - len(found.unread)
        hooks.tell_many(hooks.Lookup(self.alias, "backend", "get_many", "miss"), misses)
        return hits

    def _hit(self, key: str) -> hooks.Lookup:
        """Return the event of a hit, kept by how the key starts."""
        start = start_of(key)
        if len(self._hits) > MOST_STARTS:
            self._hits.clear()
        event = self._hits[start and start.group()] = hooks.Lookup(self.alias, "backend", family(key), "hit")
        return event

    def _result(self, found: Any) -> str:
        if found is MISSING:
            return "miss"
        if found is AWAY:
            return "error"
        if type(found) is not Undecodable:
            return "hit"
        if self.alias not in _warned:
            _warned.add(self.alias)
            logger.warning("%s It counts as a miss; this is said once for alias '%s'.", found, self.alias)
        return "error"


def ignores_by_default() -> bool:
    """Return what django-redis's setting says; without it True, for a cache must not fail a page."""
    return bool(getattr(settings, "DJANGO_REDIS_IGNORE_EXCEPTIONS", True))


def reraise(error: Exception) -> NoReturn:
    """Raise what redis-py raised, as django-redis does."""
    if isinstance(error, ResponseError):
        raise error
    if isinstance(error.__cause__, RedisError):
        raise error.__cause__
    raise RedisConnectionError(str(error)) from error
