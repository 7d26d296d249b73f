"""Speak Redis' protocol from event loops: what `wire` does, awaited."""

from __future__ import annotations

import asyncio
import builtins
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any
from weakref import WeakKeyDictionary

from redis.exceptions import ConnectionError as RedisConnectionError, ResponseError, TimeoutError as RedisTimeoutError

from cachekit.stores.wire import Connection, Greeting, nothing

Idle = tuple[Connection, int]
"""A connection that nobody uses, and how often there was reason to distrust them when it was last used."""


class AsyncWire:
    """Like `Wire`, with the connections of each event loop closed when the loop shuts down."""

    def __init__(self, make: Callable[[], Connection], greeting: Greeting = nothing) -> None:
        self._make = make
        self._greeting = greeting
        self._age = 0
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, deque[Idle]] = WeakKeyDictionary()
        self._keepers: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = WeakKeyDictionary()

    async def exchange(self, payload: bytes, replies: int, *, timeout: float | None = None) -> list[Any]:  # noqa: ASYNC109 - a socket's, not a task's
        """Like `Wire.exchange`."""
        free = await self._idle()
        try:
            connection, age = free.pop()
        except IndexError:
            return await self._talk(await self._new(), free, payload, replies, timeout)
        if age == self._age and connection.is_connected:
            try:
                return await self._talk(connection, free, payload, replies, timeout)
            except RedisConnectionError:
                await _close(free)
        else:
            await connection.disconnect(nowait=True)
        return await self._talk(await self._new(), free, payload, replies, timeout)

    def distrust(self) -> None:
        """Like `Wire.distrust`, whatever the loop."""
        self._age += 1

    async def _idle(self) -> deque[Idle]:
        loop = asyncio.get_running_loop()
        try:
            return self._loops[loop]
        except KeyError:
            free = self._loops[loop] = deque()
            # An event loop has no "at exit"; it does close its asynchronous generators when it shuts down.
            keeper = self._keepers[loop] = _keeper(free)
            await anext(keeper)
            return free

    async def _new(self) -> Connection:
        connection = self._make()
        try:
            await connection.connect()
            talk, answers = self._greeting(), None
            while True:
                try:
                    wanted = talk.send(answers)  # type: ignore[arg-type]  # None begins it
                except StopIteration:
                    return connection
                answers = await _asent(connection, *wanted)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise

    async def _talk(
        self,
        connection: Connection,
        free: deque[Idle],
        payload: bytes,
        replies: int,
        timeout: float | None,  # noqa: ASYNC109 - a socket's, not a task's
    ) -> list[Any]:
        age = self._age
        try:
            answers = await _asent(connection, payload, replies, timeout)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        free.append((connection, age))
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
        return await connection.read_response(disable_decoding=True)
    try:
        # With a timeout of its own redis-py answers None, which a reply may be too.
        async with asyncio.timeout(timeout):
            return await connection.read_response(disable_decoding=True, timeout=math.inf)
    except builtins.TimeoutError as error:
        raise RedisTimeoutError(f"No reply within {timeout} s") from error


async def _keeper(free: deque[Idle]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await _close(free)


async def _close(free: deque[Idle]) -> None:
    while free:
        connection, _ = free.pop()
        await connection.disconnect(nowait=True)
