"""Talk over a plain socket, past redis-py's way of sending and reading, which costs more than the system calls."""

from __future__ import annotations

import struct
import sys
from socket import SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET
from typing import Any

from redis._parsers.hiredis import NOT_ENOUGH_DATA, _HiredisParser
from redis.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError, TimeoutError as RedisTimeoutError

Connection = Any
"""A connection of redis-py, whose methods carry no types."""


class Straight:
    """The socket and the hiredis reader of one connection, for as long as it is connected."""

    __slots__ = ("_buffer", "_feed", "_gets", "_is_systems", "_push", "_receive", "_send", "_sock")

    def __init__(self, connection: Connection) -> None:
        parser = connection._parser  # noqa: SLF001 - of a type that was looked at
        self._sock = connection._sock  # noqa: SLF001 - nothing else gives it
        self._send = self._sock.sendall
        self._receive = self._sock.recv_into
        self._buffer = bytearray(65_536)
        self._feed = parser._reader.feed  # noqa: SLF001 - as above
        self._gets = parser._reader.gets  # noqa: SLF001 - as above
        self._push = parser._hiredis_PushNotificationType or ()  # noqa: SLF001 - as above
        self._is_systems = type(self._sock).__module__ == "socket" and sys.platform == "linux"  # gevent has its own
        self._leave_waiting_to_the_system(self._sock.gettimeout())

    def ask(self, payload: bytes, replies: int) -> list[Any]:
        """Send, and read so many replies. Raises redis-py's errors, but an error reply stands in the list."""
        answers: list[Any] = []
        gets = self._gets
        try:
            if payload:
                self._send(payload)
            while len(answers) < replies:
                size = self._receive(self._buffer)
                if not size:
                    raise RedisConnectionError("Connection closed by server.")
                self._feed(self._buffer, 0, size)
                while (reply := gets(False)) is not NOT_ENOUGH_DATA:
                    kind = type(reply)
                    if kind is bytes or kind is list or self._is_answer(reply):
                        answers.append(reply)
                        if len(answers) == replies:
                            break
        except (TimeoutError, BlockingIOError) as error:
            raise RedisTimeoutError("Timeout reading from socket") from error
        except OSError as error:
            raise RedisConnectionError(f"Error while talking to the server: {error}") from error
        return answers

    def say(self, payload: bytes) -> None:
        """Send, and leave the replies to be read later. Raises redis-py's errors."""
        try:
            self._send(payload)
        except (TimeoutError, BlockingIOError) as error:
            raise RedisTimeoutError("Timeout writing to socket") from error
        except OSError as error:
            raise RedisConnectionError(f"Error while talking to the server: {error}") from error

    def waited(self) -> None:
        """Undo what redis-py does to the socket where a command had a timeout of its own."""
        if self._is_systems:
            self._sock.settimeout(None)

    def _is_answer(self, reply: Any) -> bool:
        if isinstance(reply, RedisConnectionError):  # such as LOADING
            raise reply
        return not isinstance(reply, self._push)

    def _leave_waiting_to_the_system(self, timeout: float | None) -> None:
        """Have the system count the time: a socket with a timeout of Python's polls before it sends or receives."""
        if timeout and self._is_systems:
            span = struct.pack("ll", int(timeout), max(1, int(timeout % 1 * 1_000_000)))
            self._sock.setsockopt(SOL_SOCKET, SO_RCVTIMEO, span)
            self._sock.setsockopt(SOL_SOCKET, SO_SNDTIMEO, span)
            self._sock.settimeout(None)


def straight(connection: Connection) -> Straight | None:
    """Return the short way of a connection as redis-py makes it; None for TLS, or what reads in its own way."""
    kind = type(connection)
    for method in ("read_response", "send_packed_command"):
        if getattr(kind, method, None) is not getattr(AbstractConnection, method):
            return None
    sock = getattr(connection, "_sock", None)
    plain = not hasattr(sock, "pending") and type(getattr(connection, "_parser", None)) is _HiredisParser
    return Straight(connection) if plain else None
