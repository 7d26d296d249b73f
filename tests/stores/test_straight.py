"""The short way over a plain connection, and who does not get it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from redis.asyncio.connection import Connection as AsyncConnection
from redis.connection import Connection, ConnectionPool
from redis.exceptions import TimeoutError as RedisTimeoutError

from cachekit.stores.astraight import astraight
from cachekit.stores.awire import AsyncWire
from cachekit.stores.straight import straight
from cachekit.stores.wire import Wire, pack
from tests.patience import ANSWERED, until
from tests.servers import Valkey
from tests.twins import Call


class Own(Connection):
    """A connection that reads in its own way, as those of a library might that watches calls."""

    def read_response(self, *given: Any, **options: Any) -> Any:
        """Read."""
        return super().read_response(*given, **options)


class AsyncOwn(AsyncConnection):
    """Like `Own`."""

    async def read_response(self, *given: Any, **options: Any) -> Any:
        """Read."""
        return await super().read_response(*given, **options)


class Ways:
    """A wire and its twin to a server, over connections of these classes."""

    def __init__(self, server: Valkey, kind: type[Connection], akind: type[AsyncConnection]) -> None:
        self.seconds: float = ANSWERED
        self.pool = ConnectionPool(connection_class=kind, port=server.port, socket_timeout=ANSWERED)
        self.wire = Wire(self.pool)
        self.awire = AsyncWire(lambda: akind(port=server.port, socket_timeout=self.seconds))

    def hurry(self) -> None:
        """Have connections that are made from now on wait for a quarter of a second only."""
        self.pool.connection_kwargs["socket_timeout"] = self.seconds = 0.25

    def echo(self, call: Call) -> None:
        """Wait for an answer, and see that it is to what was asked."""

        def answered() -> bool:
            with suppress(RedisTimeoutError):
                assert call(self.exchange, pack("ECHO", "mine"), 1) == [b"mine"]
                return True
            return False

        until(answered)

    def exchange(self, *given: Any, **options: Any) -> list[Any]:
        """Call."""
        return self.wire.exchange(*given, **options)

    async def aexchange(self, *given: Any, **options: Any) -> list[Any]:
        """Await."""
        return await self.awire.exchange(*given, **options)


@pytest.fixture(params=[(Connection, AsyncConnection), (Own, AsyncOwn)], ids=["plain", "own"])
def ways(request: pytest.FixtureRequest, own_valkey: Valkey) -> Iterator[Ways]:
    yield (found := Ways(own_valkey, *request.param))
    found.wire.drop()
    found.pool.disconnect()


def test_only_a_plain_connection_gets_it(valkey: Valkey) -> None:
    plain, own = (
        ConnectionPool(connection_class=kind, port=valkey.port).get_connection() for kind in (Connection, Own)
    )

    assert straight(plain) is not None
    assert straight(own) is None
    for connection in (plain, own):
        connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py has none for it


async def test_only_a_plain_awaited_connection_gets_it(valkey: Valkey) -> None:
    plain, own = AsyncConnection(port=valkey.port), AsyncOwn(port=valkey.port)
    for connection in (plain, own):
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py has none for it

    assert astraight(plain) is not None
    assert astraight(own) is None
    await plain.disconnect(nowait=True)
    await own.disconnect(nowait=True)


def test_a_server_that_hangs_is_given_up(ways: Ways, own_valkey: Valkey, call: Call) -> None:
    ways.hurry()
    ways.echo(call)
    own_valkey.pause()
    began = time.monotonic()

    with pytest.raises(RedisTimeoutError):
        call(ways.exchange, pack("SET", "k", "late"), 1)

    assert time.monotonic() - began < 10
    own_valkey.resume()
    ways.echo(call)


def test_a_command_with_a_time_of_its_own_leaves_the_others_theirs(ways: Ways, own_valkey: Valkey, call: Call) -> None:
    ways.hurry()
    assert call(ways.exchange, pack("BLPOP", "nothing", "0.4"), 1, timeout=20) == [None]
    own_valkey.pause()
    began = time.monotonic()

    with pytest.raises(RedisTimeoutError):
        call(ways.exchange, pack("PING"), 1)

    assert time.monotonic() - began < 10
    own_valkey.resume()


def test_an_answer_in_many_pieces_is_put_together(ways: Ways, call: Call) -> None:
    value = bytes(range(256)) * 20_000
    call(ways.exchange, pack("SET", "k", value), 1)

    assert call(ways.exchange, pack("MGET", "k", "none", "k") + pack("STRLEN", "k"), 2) == [
        [value, None, value],
        len(value),
    ]


async def test_an_idle_connection_whose_server_went_is_not_used(own_valkey: Valkey) -> None:
    ways = Ways(own_valkey, Connection, AsyncConnection)
    await ways.aexchange(pack("PING"), 1)
    own_valkey.restart()
    await asyncio.sleep(0)

    assert await ways.aexchange(pack("PING"), 1) == [b"PONG"]
