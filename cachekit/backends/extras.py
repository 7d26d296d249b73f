"""What django-redis's cache can do beyond Django's contract: times, locks, sets, hashes and sorted sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import ResponseError

from cachekit.backends.client import pinned
from cachekit.backends.locks import AsyncLock, GuardedLock
from cachekit.backends.patterns import Patterns
from cachekit.core.codecs import Undecodable
from cachekit.exceptions import StoreUnavailable

Method = Callable[..., Any]


def asked(name: str, verb: str, does: str) -> tuple[Method, Method]:
    """Return a method, and its twin, that says how long an entry has left by TTL or PTTL."""

    def called(self: Extras, key: Any, version: int | None = None, client: Any = None) -> int | None:
        left: int | None = self._run(self.line.calls.left(self.named(key, version), verb), 0)
        return left

    async def awaited(self: Extras, key: Any, version: int | None = None) -> int | None:
        left: int | None = await self._arun(self.line.calls.left(self.named(key, version), verb), 0)
        return left

    return titled(name, does, called, awaited)


def expiring(name: str, verb: str, does: str) -> tuple[Method, Method]:
    """Return a method, and its twin, that says by this verb when an entry expires."""

    def called(self: Extras, key: Any, when: Any, version: int | None = None, client: Any = None) -> bool:
        when = self.default_timeout if when is DEFAULT_TIMEOUT else when
        return bool(self._run(self.line.calls.expire(self.named(key, version), verb, when), False))

    async def awaited(self: Extras, key: Any, when: Any, version: int | None = None) -> bool:
        when = self.default_timeout if when is DEFAULT_TIMEOUT else when
        return bool(await self._arun(self.line.calls.expire(self.named(key, version), verb, when), False))

    return titled(name, does, called, awaited)


def structured(name: str, away: Any) -> tuple[Method, Method]:
    """Return django-redis's method of this name and its twin; without a server they answer `away`."""

    def called(self: Extras, *args: Any, **kwargs: Any) -> Any:
        return self._by_client(name, away(*args, **kwargs) if callable(away) else away, *args, **kwargs)

    async def awaited(self: Extras, *args: Any, **kwargs: Any) -> Any:
        return await sync_to_async(getattr(self, name))(*args, **kwargs)

    return titled(name, f"Carry out {name.upper()} as django-redis does.", called, awaited)


def titled(name: str, does: str, called: Method, awaited: Method) -> tuple[Method, Method]:
    """Give a method and its twin their names and their docstrings."""
    called.__name__, called.__qualname__, called.__doc__ = name, f"RedisCache.{name}", does
    awaited.__name__, awaited.__qualname__, awaited.__doc__ = f"a{name}", f"RedisCache.a{name}", f"Like `{name}`."
    return called, awaited


def one_or_many(*_: Any, **options: Any) -> list[Any] | None:
    """Return what a call that pops members answers where there are none."""
    return None if options.get("count") is None else []


class Extras(Patterns):
    """django-redis's further calls, each with its twin."""

    ttl, attl = asked("ttl", "TTL", "Return the seconds left; 0 without an entry, None for ever.")
    pttl, apttl = asked("pttl", "PTTL", "Return the milliseconds left; 0 without an entry, None for ever.")
    expire, aexpire = expiring("expire", "EXPIRE", "Let an entry expire in so many seconds.")
    pexpire, apexpire = expiring("pexpire", "PEXPIRE", "Let an entry expire in so many milliseconds.")
    expire_at, aexpire_at = expiring("expire_at", "EXPIREAT", "Let it expire at a moment, or a Unix time in seconds.")
    pexpire_at, apexpire_at = expiring("pexpire_at", "PEXPIREAT", "Let it expire at a moment, or at milliseconds.")

    sadd, asadd = structured("sadd", 0)
    scard, ascard = structured("scard", 0)
    sdiff, asdiff = structured("sdiff", lambda *_, **__: set())
    sdiffstore, asdiffstore = structured("sdiffstore", 0)
    sinter, asinter = structured("sinter", lambda *_, **__: set())
    sinterstore, asinterstore = structured("sinterstore", 0)
    sismember, asismember = structured("sismember", False)
    smembers, asmembers = structured("smembers", lambda *_, **__: set())
    smismember, asmismember = structured("smismember", lambda _, *members, **__: [False] * len(members))
    smove, asmove = structured("smove", False)
    spop, aspop = structured("spop", one_or_many)
    srandmember, asrandmember = structured("srandmember", one_or_many)
    srem, asrem = structured("srem", 0)
    sscan, asscan = structured("sscan", lambda *_, **__: set())
    sunion, asunion = structured("sunion", lambda *_, **__: set())
    sunionstore, asunionstore = structured("sunionstore", 0)

    hset, ahset = structured("hset", 0)
    hdel, ahdel = structured("hdel", 0)
    hlen, ahlen = structured("hlen", 0)
    hkeys, ahkeys = structured("hkeys", lambda *_, **__: [])
    hexists, ahexists = structured("hexists", False)

    zadd, azadd = structured("zadd", 0)
    zcard, azcard = structured("zcard", 0)
    zcount, azcount = structured("zcount", 0)
    zincrby, azincrby = structured("zincrby", None)
    zpopmax, azpopmax = structured("zpopmax", one_or_many)
    zpopmin, azpopmin = structured("zpopmin", one_or_many)
    zrange, azrange = structured("zrange", lambda *_, **__: [])
    zrangebyscore, azrangebyscore = structured("zrangebyscore", lambda *_, **__: [])
    zrank, azrank = structured("zrank", None)
    zrem, azrem = structured("zrem", 0)
    zremrangebyscore, azremrangebyscore = structured("zremrangebyscore", 0)
    zrevrange, azrevrange = structured("zrevrange", lambda *_, **__: [])
    zrevrangebyscore, azrevrangebyscore = structured("zrevrangebyscore", lambda *_, **__: [])
    zscore, azscore = structured("zscore", None)

    def persist(self, key: Any, version: int | None = None, client: Any = None) -> bool:
        """Take an entry's timeout away; return whether it had one."""
        return bool(self._run(self.line.calls.persist(self.named(key, version)), False))

    async def apersist(self, key: Any, version: int | None = None) -> bool:
        """Like `persist`."""
        return bool(await self._arun(self.line.calls.persist(self.named(key, version)), False))

    def lock(  # noqa: PLR0917 - django-redis's signature
        self,
        key: Any,
        version: int | None = None,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        client: Any = None,
        thread_local: bool = True,
    ) -> GuardedLock:
        """Return redis-py's lock on a key; see `GuardedLock` for what it does while the server is away."""
        return GuardedLock(
            self,
            self.named(key, version),
            timeout=timeout,
            sleep=sleep,
            blocking=blocking,
            blocking_timeout=blocking_timeout,
            thread_local=thread_local,
        )

    def alock(self, key: Any, version: int | None = None, **options: Any) -> AsyncLock:
        """Return a lock for `async with`; takes what `lock` takes."""
        return AsyncLock(self.lock(key, version, **{**options, "thread_local": False}))

    def close(self, **_: Any) -> None:
        """Close the idle connections where OPTIONS or settings ask for it, as django-redis does; else keep them."""
        if self._client is not None:
            self._client.close()

    def _by_client(self, name: str, away: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Carry out a call by django-redis's code, under our circuit breaker and in the generation in force."""
        try:
            generation = self.line.run(self.line.generation.learnt()).text
            with self.cachekit_store.guard(), pinned(generation):
                try:
                    return getattr(self.client, name)(*args, **kwargs)
                except ConnectionInterrupted as error:
                    raise error.__cause__ or error from None
        except Undecodable as error:
            self._result(error)
            return away
        except (StoreUnavailable, ResponseError) as error:
            return self.answered(error, away)
