"""Speak Redis' protocol from event loops: what `wire` does, awaited."""

from __future__ import annotations

import asyncio
import builtins
import math
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, ref

from redis.exceptions import (
    ConnectionError as RedisConnectionError,
    RedisError,
    ResponseError,
    TimeoutError as RedisTimeoutError,
)

from cachekit.core.contexts import unbroken
from cachekit.stores.astraight import astraight
from cachekit.stores.straight import Connection
from cachekit.stores.wire import Greeting, nothing


class AsyncLine:
    """A connection that was greeted, and how often there was reason to distrust them when it was last used."""

    __slots__ = ("_straight", "age", "connection")

    def __init__(self, connection: Connection, age: int) -> None:
        self.connection = connection
        self.age = age
        self._straight = astraight(connection)

    def is_usable(self, age: int) -> bool:
        """Tell whether nobody had reason to distrust it, and its server has not closed it meanwhile."""
        lost = self._straight is not None and self._straight.is_lost
        return self.age == age and not lost and bool(self.connection.is_connected)

    def talk(self, payload: bytes, replies: int, timeout: float | None) -> Awaitable[list[Any]]:
        """Send, and read the replies."""
        if self._straight is not None:
            return self._straight.ask(payload, replies, timeout)
        return _asent(self.connection, payload, replies, timeout)

    def part(self, farewell: bytes) -> bool:
        """Send a last command, whose reply nobody will read; False where redis-py has closed the connection already."""
        writer = self.connection._writer  # noqa: SLF001 - nothing else sends without waiting
        if writer is None or writer.is_closing():
            return False
        writer.write(farewell)
        return True


class AsyncWire:
    """Like `Wire`, with the connections of each event loop closed when the loop shuts down."""

    def __init__(self, make: Callable[[], Connection], greeting: Greeting = nothing) -> None:
        self._make = make
        self._greeting = greeting
        self._age = 0
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, deque[AsyncLine]] = WeakKeyDictionary()
        self._latest: tuple[Callable[[], object], deque[AsyncLine]] = (lambda: None, deque())
        """The loop that asked last, and its connections: most processes have one."""
        self._keepers: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = WeakKeyDictionary()

    async def exchange(
        self,
        payload: bytes,
        replies: int,
        timeout: float | None = None,  # noqa: ASYNC109 - a socket's, not a task's
        farewell: Callable[[], bytes] | None = None,
    ) -> list[Any]:
        """Like `Wire.exchange`; whoever goes before the replies come sends a farewell, over the same connection."""
        loop = asyncio.get_running_loop()
        last, free = self._latest
        if last() is not loop:
            known = self._loops.get(loop)
            free = await self._begun(loop) if known is None else known
            self._latest = (ref(loop), free)
        if free:
            line = free.pop()
            if line.is_usable(self._age):
                try:
                    return await self._talk(line, free, payload, replies, timeout, farewell)
                except RedisConnectionError:
                    await _close(free)
            else:
                await line.connection.disconnect(nowait=True)
        return await self._talk(await self._new(), free, payload, replies, timeout, farewell)

    def distrust(self) -> None:
        """Like `Wire.distrust`, whatever the loop."""
        self._age += 1

    async def _said(self, farewell: bytes) -> None:
        """Say it over another connection; who cannot be told is away."""
        with suppress(RedisError, OSError):
            await self.exchange(farewell, 1)

    async def _begun(self, loop: asyncio.AbstractEventLoop) -> deque[AsyncLine]:
        free = self._loops[loop] = deque()
        # An event loop has no "at exit"; it does close its asynchronous generators when it shuts down.
        keeper = self._keepers[loop] = _keeper(free)
        await anext(keeper)
        return free

    async def _new(self) -> AsyncLine:
        age, connection = self._age, self._make()
        try:
            await connection.connect()
            talk, answers = self._greeting(), None
            while True:
                try:
                    wanted = talk.send(answers)  # type: ignore[arg-type]  # None begins it
                except StopIteration:
                    return AsyncLine(connection, age)
                answers = await _asent(connection, *wanted[:3])
        except BaseException:
            await connection.disconnect(nowait=True)
            raise

    async def _talk(  # noqa: PLR0917 - the way of every exchange
        self,
        line: AsyncLine,
        free: deque[AsyncLine],
        payload: bytes,
        replies: int,
        timeout: float | None,  # noqa: ASYNC109 - a socket's, not a task's
        farewell: Callable[[], bytes] | None,
    ) -> list[Any]:
        age = self._age
        try:
            answers = await line.talk(payload, replies, timeout)
        except BaseException as error:
            parted = farewell is None or line.part(farewell())
            await line.connection.disconnect(nowait=True)
            if farewell is not None and not parted and isinstance(error, asyncio.CancelledError):
                await unbroken(self._said(farewell()))
            raise
        line.age = age
        free.append(line)
        return answers


async def _asent(connection: Connection, payload: bytes, replies: int, timeout: float | None) -> list[Any]:  # noqa: ASYNC109 - a socket's, not a task's
    await connection.send_packed_command([payload], check_health=False)
    answers = []
    for _ in range(replies):
        try:
            answers.append(await _read(connection, timeout))
        except ResponseError as error:
            answers.append(error)
    return answers


async def _read(connection: Connection, timeout: float | None) -> Any:  # noqa: ASYNC109 - a socket's, not a task's
    if timeout is None:
        return await connection.read_response(disable_decoding=True, disconnect_on_error=False)
    try:
        # With a timeout of its own redis-py answers None, which a reply may be too.
        async with asyncio.timeout(timeout):
            return await connection.read_response(disable_decoding=True, timeout=math.inf, disconnect_on_error=False)
    except builtins.TimeoutError as error:
        raise RedisTimeoutError(f"No reply within {timeout} s") from error


async def _keeper(free: deque[AsyncLine]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await _close(free)


async def _close(free: deque[AsyncLine]) -> None:
    while free:
        await free.pop().connection.disconnect(nowait=True)
