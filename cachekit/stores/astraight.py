"""What `straight` does, awaited: a protocol in place of redis-py's streams, which wake a task twice for an answer."""

from __future__ import annotations

import asyncio
from typing import Any

from redis._parsers.hiredis import NOT_ENOUGH_DATA, _AsyncHiredisParser
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError, TimeoutError as RedisTimeoutError

from cachekit.stores.straight import Connection


class AsyncStraight(asyncio.Protocol):
    """The transport and the hiredis reader of one connection, which its streams have nothing to do with any more."""

    def __init__(self, connection: Connection) -> None:
        parser = connection._parser  # noqa: SLF001 - of a type that was looked at
        self._feed = parser._reader.feed  # noqa: SLF001 - as above
        self._gets = parser._reader.gets  # noqa: SLF001 - as above
        self._push = parser._hiredis_PushNotificationType or ()  # noqa: SLF001 - as above
        self._patience: float | None = connection.socket_timeout
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[list[Any]] | None = None
        self._answers: list[Any] = []
        self._replies = 0
        self._timeout: float | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.is_lost = False
        self._transport = connection._writer.transport  # noqa: SLF001 - nothing else gives it
        self._transport.set_protocol(self)

    def ask(self, payload: bytes, replies: int, timeout: float | None) -> asyncio.Future[list[Any]]:
        """Send, and return the future of so many replies, error replies among them; it fails with redis-py's errors."""
        if self.is_lost:
            raise RedisConnectionError("Connection closed by server.")
        self._answers, self._replies = [], replies
        self._waiter = waiter = self._loop.create_future()
        self._transport.write(payload)
        self._timeout = self._patience if timeout is None else timeout
        self._wait_on()
        return waiter

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        waiter, answers, gets = self._waiter, self._answers, self._gets
        try:
            self._feed(data)
            while (reply := gets(False)) is not NOT_ENOUGH_DATA:
                kind = type(reply)
                if kind is bytes or kind is list or self._is_answer(reply):
                    answers.append(reply)
        except Exception as error:  # noqa: BLE001 - whoever waits shall know; the event loop would only log it
            self._fail(error)
            return
        if waiter is None or waiter.done():
            self.is_lost = self.is_lost or bool(answers)  # an answer that nobody waits for: nothing fits any more
        elif len(answers) >= self._replies:
            self._waiter, self._answers = None, []
            waiter.set_result(answers)
        else:
            self._wait_on()

    def resume_writing(self) -> None:
        """Count the time anew: the server takes what it is sent."""
        if self._waiter is not None:
            self._wait_on()

    def eof_received(self) -> None:
        """Note that the server has closed the connection."""
        self._fail(RedisConnectionError("Connection closed by server."))

    def connection_lost(self, error: Exception | None) -> None:
        """Note that there is no connection any more."""
        self._fail(RedisConnectionError(f"Connection lost: {error or 'closed'}"))
        if self._timer is not None:
            self._timer.cancel()

    def _fail(self, error: Exception) -> None:
        self.is_lost = True
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _wait_on(self) -> None:
        """Wait as long as the timeout from now on; a timer that is there already looks then how long is left."""
        if self._timeout is None:
            self._deadline = float("inf")
            return
        self._deadline = self._loop.time() + self._timeout
        if self._timer is not None:
            if self._timer.when() <= self._deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done() or self._timeout is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        else:
            self._fail(RedisTimeoutError(f"No reply within {self._timeout} s"))

    def _is_answer(self, reply: Any) -> bool:
        if isinstance(reply, RedisConnectionError):  # such as LOADING
            raise reply
        return not isinstance(reply, self._push)


def astraight(connection: Connection) -> AsyncStraight | None:
    """Return the short way of a connection as redis-py makes it, with nothing left to read; None for TLS and others."""
    kind = type(connection)
    for method in ("read_response", "send_packed_command"):
        if getattr(kind, method, None) is not getattr(AbstractConnection, method):
            return None
    parser = connection._parser  # noqa: SLF001 - redis-py says no other way what it reads with
    writer, reader = connection._writer, connection._reader  # noqa: SLF001 - as above
    if type(parser) is not _AsyncHiredisParser or writer.get_extra_info("sslcontext") is not None:
        return None
    hiredis: Any = parser._reader  # noqa: SLF001 - as above
    unread = reader._buffer or reader.at_eof() or hiredis.has_data()  # noqa: SLF001 - as redis-py looks too
    return None if unread else AsyncStraight(connection)
