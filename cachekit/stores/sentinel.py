"""Connections to whatever server the sentinels name, asked anew for each of them."""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from redis.asyncio.connection import Connection as AsyncTCPConnection, SSLConnection as AsyncSSLConnection
from redis.connection import Connection, ConnectionPool, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError, RedisError

from cachekit.stores.awaited import async_connection

SPARED_SECONDS = 10.0
"""So long a sentinel that did not answer is asked only if no other one knows better."""

Address = tuple[str, int]
Fields = dict[bytes, bytes]
Search: TypeAlias = Generator[ConnectionPool, "Answer | Exception", Address]


class Answer(NamedTuple):
    """What one sentinel knows: the service's master, and its replicas where they are wanted."""

    master: Fields
    replicas: Sequence[Fields] = ()

    @property
    def rank(self) -> tuple[int, bool]:
        """Return how much this answer is worth: each failover has a higher number than the one before."""
        return int(self.master.get(b"config-epoch", b"0")), is_up(self.master)


class Sentinels:
    """The sentinels that watch over one service.

    All of them are asked, and the one that has seen the latest failover is believed: one that was away during it still
    names the old master. What they are asked through keeps no connection open.
    """

    def __init__(self, service: str, pools: Sequence[ConnectionPool], *, replica: bool = False) -> None:
        self.service = service
        self._pools = list(pools)
        self._replica = replica
        self._spared_until = dict.fromkeys(range(len(self._pools)), 0.0)

    def find(self) -> Address:
        """Return the address to connect to. Raises redis-py's ConnectionError where no sentinel names one."""
        search = self._search()
        try:
            pool = next(search)
            while True:
                pool = search.send(self._ask(pool))
        except StopIteration as end:
            return tuple(end.value)

    async def afind(self) -> Address:
        """Like `find`."""
        search = self._search()
        try:
            pool = next(search)
            while True:
                pool = search.send(await self._aask(pool))
        except StopIteration as end:
            return tuple(end.value)

    def _search(self) -> Search:
        """Yield the pools of the sentinels to ask, be sent what they answer, return the address."""
        now = time.monotonic()
        spared = [number for number, until in self._spared_until.items() if until > now]
        answers: list[Answer] = []
        errors: list[Exception] = []
        for numbers in ([n for n in self._spared_until if n not in spared], spared):
            for number in numbers:
                answer = yield self._pools[number]
                if isinstance(answer, Exception):
                    errors.append(answer)
                    self._spared_until[number] = time.monotonic() + SPARED_SECONDS
                else:
                    answers.append(answer)
                    self._spared_until[number] = 0.0
            if answers:
                return self._chosen(max(answers, key=lambda answer: answer.rank))
        said = "; ".join(str(error) for error in errors)
        raise RedisConnectionError(f"No sentinel names a master of '{self.service}': {said}")

    def _chosen(self, answer: Answer) -> Address:
        replicas = [fields for fields in answer.replicas if is_up(fields)]
        if replicas:
            return address_of(random.choice(replicas))  # noqa: S311 - shares the load, keeps no secret
        if not is_up(answer.master):
            raise RedisConnectionError(f"The sentinels say that the master of '{self.service}' is down")
        return address_of(answer.master)

    def _commands(self) -> list[tuple[str, str, str]]:
        words = ("MASTER", "REPLICAS") if self._replica else ("MASTER",)
        return [("SENTINEL", word, self.service) for word in words]

    def _ask(self, pool: ConnectionPool) -> Answer | Exception:
        connection: Any = None
        try:
            connection = pool.get_connection()
            replies = []
            for command in self._commands():
                connection.send_command(*command)
                replies.append(connection.read_response(disable_decoding=True))
        except (RedisError, OSError) as error:
            return error
        finally:
            if connection is not None:
                connection.disconnect()
                pool.release(connection)
        return answer_of(replies)

    async def _aask(self, pool: ConnectionPool) -> Answer | Exception:
        connection: Any = async_connection(pool)
        try:
            await connection.connect()
            replies = []
            for command in self._commands():
                await connection.send_command(*command)
                replies.append(await connection.read_response(disable_decoding=True))
        except (RedisError, OSError) as error:
            return error
        finally:
            await connection.disconnect(nowait=True)
        return answer_of(replies)


def answer_of(replies: Sequence[Any]) -> Answer:
    """Return what a sentinel said, whether the protocol knows maps or not."""
    master, *replicas = replies
    return Answer(_fields(master), [_fields(one) for one in replicas[0]] if replicas else ())


def is_up(fields: Mapping[bytes, bytes]) -> bool:
    """Tell whether a sentinel thinks that a server can be used."""
    return not {b"s_down", b"o_down"} & set(fields.get(b"flags", b"").split(b","))


def address_of(fields: Mapping[bytes, bytes]) -> Address:
    """Return host and port."""
    return fields[b"ip"].decode(), int(fields[b"port"])


def _fields(reply: Any) -> Fields:
    return dict(reply) if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


class _Led:
    """A connection that asks its sentinels where to go whenever it connects."""

    host: str
    port: int

    def __init__(self, *, sentinels: Sentinels, **kwargs: Any) -> None:
        self._sentinels = sentinels
        super().__init__(**kwargs)

    def _connect(self) -> Any:
        self.host, self.port = self._sentinels.find()
        return super()._connect()  # type: ignore[misc]  # redis-py's, which the other parent has


class _AsyncLed:
    """Like `_Led`."""

    host: str
    port: int

    def __init__(self, *, sentinels: Sentinels, **kwargs: Any) -> None:
        self._sentinels = sentinels
        super().__init__(**kwargs)

    async def _connect(self) -> None:
        self.host, self.port = await self._sentinels.afind()
        await super()._connect()  # type: ignore[misc]  # as above


class AsyncLedConnection(_AsyncLed, AsyncTCPConnection):
    """A connection to the server that the sentinels name."""


class AsyncLedSSLConnection(_AsyncLed, AsyncSSLConnection):
    """Like `AsyncLedConnection`, over TLS."""


class LedConnection(_Led, Connection):
    """A connection to the server that the sentinels name."""

    twin = AsyncLedConnection


class LedSSLConnection(_Led, SSLConnection):
    """Like `LedConnection`, over TLS."""

    twin = AsyncLedSSLConnection
