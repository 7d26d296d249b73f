"""django-redis's lock, on a server that may be away and keys whose generation may move."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from asgiref.sync import sync_to_async
from redis.exceptions import LockError
from redis.lock import Lock

from cachekit.exceptions import StoreUnavailable

if TYPE_CHECKING:
    from cachekit.backends.calling import Calling

Answer = TypeVar("Answer")


class GuardedLock(Lock):
    """redis-py's lock under the store's circuit breaker.

    While the server is away nobody gets it: `acquire` returns False, and `with` raises redis-py's LockError as it does
    for a lock that another holds, since the block inside must not run unprotected. A release that cannot be said is
    left to the lock's timeout.
    """

    def __init__(self, cache: Calling, name: str, **options: Any) -> None:
        self._cache = cache
        self._key = name
        super().__init__(cache.cachekit_store.client, name, **options)

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        """Return whether the lock was acquired."""
        try:
            return bool(super().acquire(*args, **kwargs))
        except StoreUnavailable as error:
            return bool(self._cache.answered(error, away=False))

    def do_acquire(self, token: Any) -> bool:
        """Try once, in the generation now in force. Raises LockError for whom nobody waits any more."""
        taking = _taking.get()
        if taking is not None and taking.left:
            raise LockError("Whoever waited for this lock was cancelled", self._key)
        self.name = self._found()
        with self._cache.cachekit_store.guard():
            return super().do_acquire(token)

    def locked(self) -> bool:
        """Say whether anybody holds it."""
        ask = super().locked

        def asked() -> bool:
            self.name = self._found()
            return bool(ask())

        return bool(self._asked(asked, away=False))

    def owned(self) -> bool:
        """Say whether this lock holds it."""
        return bool(self._asked(super().owned, away=False))

    def do_release(self, expected_token: Any) -> None:
        """Give it back. Raises LockNotOwnedError."""
        release = super().do_release
        self._asked(lambda: release(expected_token), away=None)

    def do_extend(self, additional_time: Any, replace_ttl: bool) -> Any:
        """Hold it for longer. Raises LockError, also when the server cannot be asked."""
        extend = super().do_extend
        return self._prolonged(lambda: extend(additional_time, replace_ttl))

    def do_reacquire(self) -> Any:
        """Hold it for its whole timeout from now. Raises LockError, also when the server cannot be asked."""
        return self._prolonged(super().do_reacquire)

    def _found(self) -> str:
        line = self._cache.line
        return line.run(line.generation.learnt()).text + self._key

    def _prolonged(self, question: Callable[[], Any]) -> Any:
        if answer := self._asked(question, away=None):
            return answer
        raise LockError("The cache server is away: the lock was not prolonged", self._key)

    def _asked(self, question: Callable[[], Any], *, away: Any) -> Any:
        """Return the answer; a LockError is a RedisError too, but no trouble with the server."""
        said: LockError
        try:
            with self._cache.cachekit_store.guard():
                try:
                    return question()
                except LockError as error:
                    said = error
        except StoreUnavailable as error:
            return self._cache.answered(error, away=away)
        raise said


class AsyncLock:
    """Like `GuardedLock`; it waits in a thread of its own, so that the event loop does not."""

    def __init__(self, lock: GuardedLock) -> None:
        self._lock = lock

    async def acquire(self, **options: Any) -> bool:
        """Like `GuardedLock.acquire`."""
        return bool(await self._taken(partial(self._lock.acquire, **options)))

    async def release(self) -> None:
        """Like `GuardedLock.release`."""
        await _aside(self._lock.release)()

    async def locked(self) -> bool:
        """Like `GuardedLock.locked`."""
        return await _aside(self._lock.locked)()

    async def owned(self) -> bool:
        """Like `GuardedLock.owned`."""
        return await _aside(self._lock.owned)()

    async def extend(self, additional_time: float, replace_ttl: bool = False) -> bool:
        """Like `GuardedLock.extend`."""
        return bool(await _aside(self._lock.extend)(additional_time, replace_ttl))

    async def reacquire(self) -> bool:
        """Like `GuardedLock.reacquire`."""
        return bool(await _aside(self._lock.reacquire)())

    async def __aenter__(self) -> Self:
        await self._taken(self._lock.__enter__)
        return self

    async def __aexit__(self, *exception: Any) -> None:
        await _aside(self._lock.__exit__)(*exception)

    async def _taken(self, take: Callable[[], object]) -> object:
        """Wait for the lock; whoever is cancelled meanwhile does not keep what their thread gets afterwards."""
        taking = Taking(take, self._lock.release)
        try:
            return await _aside(taking.take)()
        except asyncio.CancelledError:
            if taking.leave():
                asyncio.get_running_loop().run_in_executor(None, self._lock.release)
            raise


class Taking:
    """One wait for a lock, in a thread that cannot be stopped when whoever waits for it has left."""

    def __init__(self, take: Callable[[], object], release: Callable[[], object]) -> None:
        self._take = take
        self._release = release
        self._mutex = threading.Lock()
        self._got = False
        self.left = False
        """Whether nobody waits any more."""

    def take(self) -> object:
        """Get the lock; give it back at once if nobody waits for it any more."""
        before = _taking.set(self)
        try:
            got = self._take()
        finally:
            _taking.reset(before)
        with self._mutex:
            self._got = bool(got)
            if not self._got or not self.left:
                return got
        self._release()
        return False

    def leave(self) -> bool:
        """Note that nobody waits any more; tell whether the lock is there to be given back."""
        with self._mutex:
            self.left = True
            return self._got


_taking: ContextVar[Taking | None] = ContextVar("cachekit_taking", default=None)


def _aside(function: Callable[..., Answer]) -> Callable[..., Awaitable[Answer]]:
    return sync_to_async(function, thread_sensitive=False)
