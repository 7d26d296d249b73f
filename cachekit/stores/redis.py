"""The store on one Redis or Valkey server, over connections of django-redis's pool."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from redis import Redis
from redis.connection import ConnectionPool
from redis.exceptions import RedisError, ResponseError, TimeoutError as RedisTimeoutError

from cachekit import hooks
from cachekit.conf import conf
from cachekit.core import steps
from cachekit.core.entry import Found
from cachekit.core.mirror import Mirror
from cachekit.core.samples import Samples
from cachekit.core.tags import EVERYTHING
from cachekit.exceptions import StoreUnavailable
from cachekit.stores import many, posting
from cachekit.stores.awaited import async_connection
from cachekit.stores.awire import AsyncWire
from cachekit.stores.base import Promise
from cachekit.stores.breaker import Breaker
from cachekit.stores.channel import Follower
from cachekit.stores.ledger import Ledger
from cachekit.stores.scripts import Exchange, Talk
from cachekit.stores.wire import Wire, code_of, nothing

REFUSALS = frozenset({"OOM", "MISCONF", "READONLY", "NOREPLICAS", "BUSY", "MASTERDOWN", "CLUSTERDOWN"})
"""Error replies of a server that answers but cannot be used: as good as away."""
RECALLED = 60.0
"""Seconds for which a process remembers what it has told: a master that was replaced may take writes that long."""
MOST_RECALLED = 5000
LOADING = (steps.Load, steps.LoadMany)
TELLING = (steps.Intend, steps.Invalidate, steps.Withdraw)
"""Steps that are tried though the circuit is open."""


def nobody(replies: list[Any] | None) -> None:
    """Hear what came of an entry that was sent: its next reader sees whether it is there."""


class Guard:
    """What `RedisStore.guard` returns; a class, since `contextlib.contextmanager` costs a hit 2 µs more.

    One that insists lets its caller try though the circuit is open: a write that the server could be told of must be.
    """

    def __init__(self, store: RedisStore, *, insists: bool = False) -> None:
        self._store = store
        self._breaker = store.breaker
        self._insists = insists

    def __enter__(self) -> None:
        if not self._insists:
            self._breaker.check()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, StopIteration):  # the end of a talk
            self._breaker.succeeded()
        else:
            self.judge(error)

    def judge(self, error: BaseException) -> None:
        """Raise StoreUnavailable for what is the server's trouble; return where it is the caller's own doing."""
        if isinstance(error, ResponseError) and code_of(error) not in REFUSALS:
            return
        if isinstance(error, RedisError | OSError):
            self._store.failed(error)
            away = StoreUnavailable(f"The cache server of alias '{self._store.alias}' is away: {error}")
            away.hung = isinstance(error, RedisTimeoutError)
            raise away from error


class RedisStore:
    """Entries and ledger on one server. Its connections are django-redis's; commands go past redis-py's machinery."""

    def __init__(self, alias: str, prefix: str, client: Redis, *, judges: bool = True) -> None:
        """Make the store; one that does not judge only fetches values for the `CACHES` door, from a replica perhaps."""
        self.alias = alias
        self.prefix = prefix
        self.client = client
        self.ledger = Ledger(prefix, conf().MAX_STALENESS, replays=conf().OUTBOX == "always")
        self.breaker = Breaker(self._tell, failures=conf().BREAKER_FAILURES, pause=conf().BREAKER_PAUSE)
        self._greeting = self.greet if judges else nothing
        self._server = b""
        self._told: deque[tuple[float, tuple[str, ...]]] = deque(maxlen=MOST_RECALLED)
        self.troubles = self._got_over = 0
        self._guard = Guard(self)
        self._insisting = Guard(self, insists=True)
        self.samples = Samples()
        self.mirror = Mirror()
        self.follower = Follower(self)
        self._offset = 0
        self._talks = {
            steps.Load: self.ledger.load,
            steps.Begin: self.ledger.begin,
            steps.Save: self.ledger.save,
            steps.Renew: self.ledger.renew,
            steps.Release: self.ledger.release,
            steps.Wait: self.ledger.wait,
            steps.Invalidate: self.ledger.invalidate,
            steps.Intend: self.ledger.intend,
            steps.Withdraw: self.ledger.withdraw,
            **many.talks(self.ledger),
        }

    @property
    def pool(self) -> ConnectionPool:
        """Return django-redis's connection pool."""
        return self.client.connection_pool

    @cached_property
    def wire(self) -> Wire:
        """Return the way to the server for callers."""
        return Wire(self.pool, self._greeting)

    @cached_property
    def awire(self) -> AsyncWire:
        """Return the way to the server for awaiters."""
        return AsyncWire(partial(async_connection, self.pool), self._greeting)

    def greet(self) -> Talk:
        """Learn over a new connection who answers; tell another server than before what the last one was told lately.

        One that was promoted elsewhere may not know it, though whoever came first has begun an epoch there.
        """
        name = yield from self.ledger.greet()
        former, self._server = self._server, name
        if former not in (b"", name) and (tags := self._lately()):
            yield from self.ledger.invalidate(steps.Invalidate(tags, "told again", "another server"))

    def _lately(self) -> tuple[str, ...]:
        """Return the tags that were told in the last minute; everything, where they are too many."""
        since, told = time.monotonic() - RECALLED, tuple(self._told)
        if len(told) == MOST_RECALLED and told[0][0] >= since:
            return (EVERYTHING,)
        return tuple(dict.fromkeys(tag for when, tags in told if when >= since for tag in tags))

    @property
    def suspect(self) -> bool:
        """Tell whether this process saw the server away since it last made sure that nothing was missed meanwhile."""
        return self.troubles != self._got_over

    def got_over(self, troubles: int) -> None:
        """Note that whatever was missed in so many troubles has been told."""
        self._got_over = max(self._got_over, troubles)

    def failed(self, error: Exception) -> None:
        """Note that the server did not answer, or refused to write: who answers next may be another."""
        self.troubles += 1
        self.mirror.void()
        if isinstance(error, ResponseError):
            self.wire.distrust()
            self.awire.distrust()
        self.breaker.failed(error)

    def load(self, key: str) -> Found:
        """Return an entry with the newest point among its tags. Raises StoreUnavailable."""
        self._check()
        found: Found = self._carry_out(self.ledger.load(steps.Load(key)), self._guard)
        return found

    async def aload(self, key: str) -> Found:
        """Like `load`."""
        self._check()
        found: Found = await self._acarry_out(self.ledger.load(steps.Load(key)), self._guard)
        return found

    def do(self, step: steps.Step) -> Any:
        """Carry out a step. Raises StoreUnavailable."""
        guard = self._insisting if isinstance(step, TELLING) else self._guard
        if type(step) in LOADING:
            self._check()
        if type(step) is steps.Save and not step.waits:
            with guard:
                self.wire.post(*many.sent(self.ledger, step), nobody)
            return None
        return self._noted(step, self._carry_out(self._talks[type(step)](step), guard))  # type: ignore[operator]

    async def ado(self, step: steps.Step) -> Any:
        """Like `do`."""
        guard = self._insisting if isinstance(step, TELLING) else self._guard
        if type(step) in LOADING:
            self._check()
        return self._noted(step, await self._acarry_out(self._talks[type(step)](step), guard))  # type: ignore[operator]

    @property
    def evicts(self) -> bool:
        """Tell whether the server may evict what has no lifetime; it says so to each new connection."""
        return self.ledger.evicts

    def post(self, step: steps.Invalidate, lost: Callable[[], object]) -> None:
        """Send an invalidation and go on; its answer is read when the connection is used next, or by `hear`.

        `lost` is called where it was not carried out. Raises StoreUnavailable where it cannot even be sent.
        """
        posting.post(self, step, lost)
        self._noted(step, None)

    def promise(self, step: steps.Intend) -> Promise:
        """Send intents and go on; what is returned waits for the answer, and tells whether they stand."""
        made = posting.promise(self, step)
        self._noted(step, None)
        return made

    def hear(self) -> bool:
        """Read the answers to what was posted; tell whether there were any to read."""
        return posting.hear(self)

    def follow(self) -> Mirror:
        """Have this process's mirror of the ledger kept from now on."""
        self.follower.follow()
        return self.mirror

    def hold(self, *, on: bool) -> None:
        """Have nothing judged by the mirror while this process owes the server an invalidation."""
        self.mirror.hold(on=on)

    def now(self) -> int:
        """Return the server's time in microseconds, as of the offset seen at the last read point."""
        return time.time_ns() // 1000 + self._offset

    def key(self, *parts: str) -> str:
        """Return the name of an entry."""
        return ":".join((self.prefix, *parts))

    def slot_key(self, name: str) -> str:
        """Return the name of something beside the ledger, on its cluster slot."""
        return f"{{{self.prefix}}}:{name}"

    def guard(self, *, insists: bool = False) -> Guard:
        """Turn redis-py's errors into StoreUnavailable, but for error replies that are the caller's own doing."""
        return self._insisting if insists else self._guard

    def reset(self) -> None:
        """Close idle connections, follow nothing, forget the breaker's state and which tags were seen."""
        self.follower.stop()
        self.wire.drop()
        self.ledger.forget()
        self.breaker.succeeded()
        self.samples.forget()
        self._got_over = self.troubles

    def _carry_out(self, talk: Talk, guard: Guard) -> Any:
        try:
            with guard:
                wanted: Exchange = next(talk)
                while True:
                    wanted = talk.send(self.wire.exchange(wanted.payload, wanted.replies, timeout=wanted.timeout))
        except StopIteration as end:
            return end.value
        except ResponseError as error:
            raise self._unusable(error) from error

    async def _acarry_out(self, talk: Talk, guard: Guard) -> Any:
        try:
            with guard:
                wanted: Exchange = next(talk)
                while True:
                    wanted = talk.send(await self.awire.exchange(*wanted))
        except StopIteration as end:
            return end.value
        except ResponseError as error:
            raise self._unusable(error) from error

    def _check(self) -> None:
        if self.suspect:
            raise StoreUnavailable(f"The cache server of alias '{self.alias}' was away and may have missed writes")

    def _unusable(self, error: ResponseError) -> StoreUnavailable:
        """Return what an error reply means that is neither trouble of the server nor a caller's doing."""
        return StoreUnavailable(f"The cache server of alias '{self.alias}' answered: {error}")

    def _noted(self, step: steps.Step, answer: Any) -> Any:
        if type(step) is steps.Begin:
            self._offset = answer.read_point - time.time_ns() // 1000
            self.samples.note(time.monotonic(), answer.epoch, answer.read_point)
        elif isinstance(step, TELLING):
            now = time.monotonic()
            self.mirror.doubt(step.tags, now)
            if type(step) is steps.Invalidate:
                self._told.append((now, step.tags))
        return answer

    def _tell(self, error: str | None) -> None:
        hooks.tell(hooks.StoreUp(self.alias) if error is None else hooks.StoreDown(self.alias, error))
