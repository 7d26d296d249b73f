"""The line from a door to its servers: one for each alias and process, whatever the number of threads and tasks."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from redis.exceptions import ResponseError

from cachekit.backends.calls import Calls
from cachekit.backends.codec import Codec
from cachekit.backends.generation import Generation, Plan
from cachekit.backends.nearby import Nearby, Teller
from cachekit.backends.phrases import Expiry
from cachekit.exceptions import StoreUnavailable
from cachekit.stores.redis import REFUSALS, RedisStore
from cachekit.stores.wire import code_of

Answer = TypeVar("Answer")

TELL = "tell"
"""What NEAR says of an alias that keeps nothing in the process and tells those who do what it writes."""


class Line:
    """Carries out plans on the primary and its replicas, each under the circuit breaker of its store."""

    def __init__(
        self,
        primary: RedisStore,
        replicas: Sequence[RedisStore],
        codec: Codec,
        *,
        failover: bool,
        near: bool | str = False,
    ) -> None:
        self.primary = primary
        self.replicas = replicas
        self.failover = failover
        self.codec = codec
        self.generation = Generation(primary.slot_key("generation"))
        self.calls = Calls(self.generation, codec)
        self.nearby: Nearby | None = None
        if near:
            self.generation.teller = Teller(primary)
        if near and near != TELL:
            self.nearby = Nearby(primary, Teller(primary), codec, hot=near == "hot")

    def run(self, plan: Plan[Answer]) -> Answer:
        """Carry out a plan. Raises StoreUnavailable."""
        try:
            request = next(plan)
            while True:
                try:
                    answers = self._exchange(*request)
                except StoreUnavailable as error:
                    request = plan.throw(error)
                else:
                    request = plan.send(answers)
        except StopIteration as end:
            answer: Answer = end.value
            return answer

    async def arun(self, plan: Plan[Answer]) -> Answer:
        """Like `run`."""
        try:
            request = next(plan)
            while True:
                try:
                    answers = await self._aexchange(*request)
                except StoreUnavailable as error:
                    request = plan.throw(error)
                else:
                    request = plan.send(answers)
        except StopIteration as end:
            answer: Answer = end.value
            return answer

    def fetch(self, name: str) -> bytes | None:
        """Return what stands under a name; the short way of a hit, with the plan behind it. Raises StoreUnavailable."""
        payload, mark = self.generation.guess(name)
        store = self.primary
        if payload and not self.replicas and not store.breaker.failures:
            try:
                (found,) = store.wire.exchange(payload, 1)
            except Exception as error:
                store.guard().judge(error)
                raise
            if type(found) is list and found[1] == mark:
                data: bytes | None = found[0]
                return data
        return self.run(self.generation.fetched((name,)))[0]

    async def afetch(self, name: str) -> bytes | None:
        """Like `fetch`."""
        payload, mark = self.generation.guess(name)
        if payload:
            (found,) = await self._aexchange(payload, 1)
            if type(found) is list and found[1] == mark:
                data: bytes | None = found[0]
                return data
        return (await self.arun(self.generation.fetched((name,))))[0]

    def stored(self, name: str, data: bytes, end: Expiry) -> bool:
        """Store by the short way of a SET; False where the plan must do it, and has lost nothing by the try."""
        payload, mark = self.generation.storing(name, data, end)
        if not payload:
            return self._told(name, data, end)
        store = self.primary
        if self.replicas or store.breaker.failures:
            answers = self._exchange(payload, 2, write=True)
        else:
            try:
                answers = store.wire.exchange(payload, 2)
                if answers[0] != b"OK":
                    usable(answers)
            except Exception as error:
                store.guard().judge(error)
                raise
        if answers[1] != mark:
            self.run(self.generation.left(mark, name))
        return answers == [b"OK", mark]

    async def astored(self, name: str, data: bytes, end: Expiry) -> bool:
        """Like `stored`."""
        payload, mark = self.generation.storing(name, data, end)
        if not payload:
            return await self._atold(name, data, end)
        answers = await self._aexchange(payload, 2, write=True)
        if answers[1] != mark:
            await self.arun(self.generation.left(mark, name))
        return bool(answers == [b"OK", mark])

    def _told(self, name: str, data: bytes, end: Expiry) -> bool:
        """Like `stored`, where others are told of the key."""
        teller = self.generation.teller
        if teller is None:
            return False
        payload, mark, called = self.generation.storing_aloud(teller, name, data, end)
        if not payload:
            return False
        try:
            answers = self._exchange(payload, 3, write=True)
        except StoreUnavailable:
            teller.lost()
            raise
        if isinstance(answers[1], ResponseError):
            return False  # the plan brings the script along
        teller.heard(called)
        if answers[2] != mark:
            self.run(self.generation.left(mark, name))
        return bool(answers[0] == b"OK" and answers[2] == mark)

    async def _atold(self, name: str, data: bytes, end: Expiry) -> bool:
        """Like `_told`."""
        teller = self.generation.teller
        if teller is None:
            return False
        payload, mark, called = self.generation.storing_aloud(teller, name, data, end)
        if not payload:
            return False
        try:
            answers = await self._aexchange(payload, 3, write=True)
        except StoreUnavailable:
            teller.lost()
            raise
        if isinstance(answers[1], ResponseError):
            return False  # the plan brings the script along
        teller.heard(called)
        if answers[2] != mark:
            await self.arun(self.generation.left(mark, name))
        return bool(answers[0] == b"OK" and answers[2] == mark)

    def close(self) -> None:
        """Close the idle connections."""
        for store in (self.primary, *self.replicas):
            store.wire.drop()

    def _exchange(self, payload: bytes, replies: int, write: bool = False) -> list[Any]:
        if not self.replicas:
            store = self.primary
            breaker = store.breaker
            if breaker.failures:
                breaker.check()
            try:
                answers = usable(store.wire.exchange(payload, replies))
            except Exception as error:
                store.guard().judge(error)
                raise
            if breaker.failures:
                breaker.succeeded()
            return answers
        for last, store in self._nodes(write):
            try:
                with store.guard():
                    return usable(store.wire.exchange(payload, replies))
            except StoreUnavailable:
                if last:
                    raise
        raise AssertionError("unreachable: there is always a last node")

    async def _aexchange(self, payload: bytes, replies: int, write: bool = False) -> list[Any]:
        if not self.replicas:
            store = self.primary
            breaker = store.breaker
            if breaker.failures:
                breaker.check()
            try:
                answers = usable(await store.awire.exchange(payload, replies))
            except Exception as error:
                store.guard().judge(error)
                raise
            if breaker.failures:
                breaker.succeeded()
            return answers
        for last, store in self._nodes(write):
            try:
                with store.guard():
                    return usable(await store.awire.exchange(payload, replies))
            except StoreUnavailable:
                if last:
                    raise
        raise AssertionError("unreachable: there is always a last node")

    def _nodes(self, write: bool) -> Iterator[tuple[bool, RedisStore]]:
        """Yield the servers to try, and whether each is the last one."""
        if not write:
            yield False, random.choice(self.replicas)  # noqa: S311 - shares the load, keeps no secret
            yield True, self.primary
        else:
            yield not self.failover, self.primary
            for store in self.replicas if self.failover else ():
                yield store is self.replicas[-1], store


def usable(replies: list[Any]) -> list[Any]:
    """Return the replies of a server that works. Raises the error of one that refuses to."""
    for reply in replies:
        if isinstance(reply, ResponseError) and code_of(reply) in REFUSALS:
            raise reply
    return replies
