"""Speak Redis' protocol over connections held out of redis-py's pools, without its command machinery."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from redis.connection import ConnectionPool
from redis.exceptions import (
    ClusterDownError,
    ConnectionError as RedisConnectionError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from cachekit.stores.straight import Connection, straight

Packable = bytes | str | int | float
Heard = Callable[[list[Any] | None], object]
"""Is told the replies to what was posted; None where the connection was lost before they came."""
Greeting = Callable[[], Generator[Any, list[Any], Any]]
"""Makes what is asked over each new connection before anything else: exchanges (payload, replies, timeout)."""


def pack(*parts: Packable) -> bytes:
    """Encode one command."""
    return b"*%d\r\n%b" % (len(parts), framed(parts))


def framed(parts: Iterable[Packable]) -> bytes:
    """Encode parts of a command."""
    out = []
    for part in parts:
        if type(part) is str:
            data = part.encode("utf-8", "surrogatepass")
        else:
            data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        out.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(out)


_era = object()
"""Of this process: another after a fork. To ask for its id takes a microsecond."""


def _begin_era() -> None:
    global _era  # noqa: PLW0603 - one a process
    _era = object()


os.register_at_fork(after_in_child=_begin_era)


def nothing() -> Generator[Any, list[Any], None]:
    """Ask nothing over a new connection."""
    yield from ()


class Line:
    """A connection, and what it has still to answer."""

    __slots__ = ("_straight", "age", "ask", "connection", "owed", "socket")

    def __init__(self, connection: Connection, age: int) -> None:
        self.connection = connection
        self.age = age
        self.owed: list[tuple[int, Heard]] = []
        self.socket = connection._sock  # noqa: SLF001 - nothing else says which socket it is
        self._straight = straight(connection)
        self.ask = None if self._straight is None else self._straight.ask
        """The short way to send and to read, for where nothing is owed; None where there is none."""

    def is_usable(self, age: int) -> bool:
        """Tell whether nobody had reason to distrust it, and no other user of the pool has closed it meanwhile."""
        return self.age == age and self.connection._sock is self.socket  # noqa: SLF001 - as above

    def talk(self, payload: bytes, replies: int, timeout: float | None = None) -> list[Any]:
        """Send, read what is owed from before, and the replies."""
        if not self.owed:
            if timeout is None and self._straight is not None:
                return self._straight.ask(payload, replies)
            return self._sent(payload, replies, timeout)
        owed = sum(count for count, _ in self.owed)
        answers = self._sent(payload, owed + replies, timeout)
        at = 0
        for count, heard in self._settled():
            heard(answers[at : at + count])
            at += count
        return answers[at:]

    def _sent(self, payload: bytes, replies: int, timeout: float | None) -> list[Any]:
        if timeout is None and self._straight is not None:
            return self._straight.ask(payload, replies)
        if payload:
            self.send(payload)
        answers = _read_each(self.connection, replies, timeout)
        if timeout is not None and self._straight is not None:
            self._straight.waited()
        return answers

    def send(self, payload: bytes) -> None:
        """Send, and leave the replies to be read by whoever talks next. Raises redis-py's errors."""
        if self._straight is None:
            self.connection.send_packed_command([payload], check_health=False)
        else:
            self._straight.say(payload)

    def lost(self) -> None:
        """Tell those who posted something that no answer will come."""
        for _, heard in self._settled():
            heard(None)

    def _settled(self) -> list[tuple[int, Heard]]:
        settled, self.owed = self.owed, []
        return settled


class Wire:
    """Exchange packed commands for replies over connections that stay checked out of their pool.

    A check-out of redis-py's pool costs a poll of the socket and some 25 µs; a connection that died in the
    meantime is noticed when it is used, and the commands are sent once more over a new one. Each new one is greeted.
    """

    def __init__(self, pool: ConnectionPool, greeting: Greeting = nothing) -> None:
        self.pool = pool
        self._greeting = greeting
        self._age = 0
        self._free: deque[Line] = deque()
        self._pid, self._era = os.getpid(), _era

    def exchange(self, payload: bytes, replies: int, *, timeout: float | None = None) -> list[Any]:
        """Send `payload`, return its `replies` raw replies; an error reply stands in the list as a ResponseError.

        `timeout` (seconds) replaces the connection's own, for commands that block. Raises redis-py's errors.
        """
        line = self._idle()
        if line is None:
            return self._talk(self._new(), payload, replies, timeout)
        try:
            if line.owed or line.ask is None or timeout is not None:
                return self._talk(line, payload, replies, timeout)
            try:
                answers = line.ask(payload, replies)  # as `_talk` does, in as few steps as can be: so go the hits
            except BaseException:
                self._give_back(line)
                raise
        except RedisConnectionError:
            self.drop()  # the server went away under an idle connection: the others are as dead
        else:
            self._free.append(line)
            return answers
        return self._talk(self._new(), payload, replies, timeout)

    def post(self, payload: bytes, replies: int, heard: Heard) -> Line:
        """Send `payload` and do not wait: `heard` is told the replies when the connection is used next.

        Whoever uses it next comes after what was posted. Raises redis-py's errors.
        """
        line = self._idle() or self._new()
        try:
            line.send(payload)
        except BaseException:
            self._give_back(line)
            raise
        line.owed.append((replies, heard))
        self._free.append(line)
        return line

    def hear_on(self, line: Line) -> None:
        """Read what was posted over a connection, unless somebody else uses it just now. Raises redis-py's errors."""
        try:
            self._mine().remove(line)
        except ValueError:
            return
        self._talk(line, b"", 0, None)

    def hear(self) -> None:
        """Read what was posted and not answered yet. Raises redis-py's errors."""
        free = self._mine()
        for _ in range(len(free)):  # a whole turn, after which they stand as they stood
            try:
                line = free.popleft()
            except IndexError:
                return
            if line.owed and line.is_usable(self._age):
                self._talk(line, b"", 0, None)
            else:
                free.append(line)

    @property
    def owes(self) -> bool:
        """Tell whether something was posted and has not been answered yet, as far as connections are idle."""
        return any(line.owed for line in tuple(self._mine()))

    def distrust(self) -> None:
        """Have every connection closed before it is used again: who answers may have become another."""
        self._age += 1

    def drop(self) -> None:
        """Give the idle connections back to their pool, closed."""
        while True:
            try:
                line = self._free.pop()
            except IndexError:
                return
            self._give_back(line)

    def _idle(self) -> Line | None:
        """Return an idle connection that may be used, if there is one."""
        try:
            line = (self._free if self._era is _era else self._mine()).pop()
        except IndexError:
            return None
        if line.age == self._age and line.connection._sock is line.socket:  # noqa: SLF001 - as `is_usable`
            return line
        self._give_back(line)
        return None

    def _mine(self) -> deque[Line]:
        """Return the idle connections of this process: those of the one that it was forked from are not."""
        if self._pid != os.getpid():
            self._free, self._pid = deque(), os.getpid()
        self._era = _era
        return self._free

    def _give_back(self, line: Line) -> None:
        line.connection.disconnect()
        self.pool.release(line.connection)
        line.lost()

    def _new(self) -> Line:
        age = self._age
        connection: Connection = self.pool.get_connection()
        try:
            line = Line(connection, age)
            talk, answers = self._greeting(), None
            while True:
                try:
                    wanted = talk.send(answers)  # type: ignore[arg-type]  # None begins it
                except StopIteration:
                    return line
                answers = line.talk(*wanted[:3])
        except BaseException:
            connection.disconnect()
            self.pool.release(connection)
            raise

    def _talk(self, line: Line, payload: bytes, replies: int, timeout: float | None) -> list[Any]:
        age = self._age
        try:
            answers = line.talk(payload, replies, timeout)
        except BaseException:
            self._give_back(line)
            raise
        line.age = age
        self._free.append(line)
        return answers


def _read_each(connection: Connection, replies: int, timeout: float | None) -> list[Any]:
    extra = {} if timeout is None else {"timeout": timeout}
    answers: list[Any] = []
    for _ in range(replies):
        try:
            answers.append(connection.read_response(disable_decoding=True, **extra))
        except ResponseError as error:
            answers.append(error)
    return answers


_CODES: dict[type[ResponseError], str] = {
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
    NoPermissionError: "NOPERM",
    MasterDownError: "MASTERDOWN",
    ClusterDownError: "CLUSTERDOWN",
}


def code_of(error: ResponseError) -> str:
    """Return the word that an error reply begins with; redis-py takes it off where it has a class for it."""
    return _CODES.get(type(error)) or str(error).partition(" ")[0]


def raised(replies: Sequence[Any]) -> Sequence[Any]:
    """Return `replies`; raise the first of them that is an error."""
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    return replies
