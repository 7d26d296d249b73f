"""Raw exchanges with a real server, called and awaited."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from redis.connection import ConnectionPool
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError as RedisTimeoutError,
)

from cachekit.stores import store_for
from cachekit.stores.awire import AsyncWire
from cachekit.stores.redis import RedisStore
from cachekit.stores.wire import Wire, code_of, pack, raised
from tests.patience import until
from tests.servers import Valkey
from tests.twins import Call


class Both:
    """`exchange` over a `Wire`, `aexchange` over its twin."""

    def __init__(self, store: RedisStore) -> None:
        self.wire: Wire = store.wire
        self.awire: AsyncWire = store.awire

    def exchange(self, *given: Any, **options: Any) -> list[Any]:
        """Call."""
        return self.wire.exchange(*given, **options)

    async def aexchange(self, *given: Any, **options: Any) -> list[Any]:
        """Await."""
        return await self.awire.exchange(*given, **options)


@pytest.fixture
def both() -> Iterator[Both]:
    store = store_for("default")
    assert isinstance(store, RedisStore)
    yield Both(store)
    store.wire.drop()


def clients(valkey: Valkey) -> int:
    return valkey.say("CLIENT LIST TYPE normal").count("addr=") - 1


@pytest.mark.parametrize(
    ("parts", "packed"),
    [
        (("GET", "k"), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
        (("é", b"\x00\r\n", 12, 1.5), b"*4\r\n$2\r\n\xc3\xa9\r\n$3\r\n\x00\r\n\r\n$2\r\n12\r\n$3\r\n1.5\r\n"),
        (("",), b"*1\r\n$0\r\n\r\n"),
    ],
)
def test_commands_are_framed(parts: tuple[Any, ...], packed: bytes) -> None:
    assert pack(*parts) == packed


def test_half_a_character_can_be_sent_and_read(both: Both, call: Call) -> None:
    assert call(both.exchange, pack("SET", "\ud800", "x") + pack("GET", "\ud800"), 2) == [b"OK", b"x"]


def test_many_commands_take_one_trip(both: Both, call: Call) -> None:
    payload = b"".join(pack("INCR", "n") for _ in range(1000))

    assert call(both.exchange, payload, 1000) == list(range(1, 1001))


def test_megabytes_pass(both: Both, call: Call) -> None:
    value = bytes(range(256)) * 40_000

    assert call(both.exchange, pack("SET", "k", value) + pack("GET", "k"), 2)[1] == value


def test_an_error_reply_stands_among_the_others(both: Both, call: Call) -> None:
    replies = call(both.exchange, pack("SET", "k", "x") + pack("INCR", "k") + pack("GET", "k"), 3)

    assert [replies[0], replies[2]] == [b"OK", b"x"]
    with pytest.raises(ResponseError, match="not an integer"):
        raised(replies)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutOfMemoryError("command not allowed"), "OOM"),
        (ReadOnlyError("You can't write"), "READONLY"),
        (ResponseError("MISCONF Redis is configured"), "MISCONF"),
        (ResponseError("WRONGTYPE Operation"), "WRONGTYPE"),
    ],
)
def test_the_code_of_an_error_survives_redis_py(error: ResponseError, code: str) -> None:
    assert code_of(error) == code


def test_a_connection_is_used_again(both: Both, valkey: Valkey) -> None:
    ids = {both.exchange(pack("CLIENT", "ID"), 1)[0] for _ in range(10)}

    assert len(ids) == 1


BLOCKING = pack("BLPOP", "something", "20") + pack("CLIENT", "ID")


def feed(valkey: Valkey) -> None:
    """Wait until eight are blocked, each on a connection of its own, and let them go."""
    until(lambda: "blocked_clients:8\r\n" in valkey.say("INFO clients"))
    valkey.say(f"RPUSH something {' '.join('12345678')}")


def test_threads_have_connections_of_their_own(both: Both, valkey: Valkey) -> None:
    ids = set()
    threads = [threading.Thread(target=lambda: ids.add(both.exchange(BLOCKING, 2)[1])) for _ in range(8)]

    for thread in threads:
        thread.start()
    feed(valkey)
    for thread in threads:
        thread.join()

    assert len(ids) == 8


async def test_tasks_have_connections_of_their_own(both: Both, valkey: Valkey) -> None:
    replies = asyncio.gather(*(both.aexchange(BLOCKING, 2) for _ in range(8)))

    await asyncio.to_thread(feed, valkey)

    assert len({reply[1] for reply in await replies}) == 8


def test_a_connection_that_died_idle_is_replaced(both: Both, call: Call, valkey: Valkey) -> None:
    for _ in range(3):
        call(both.exchange, pack("PING"), 1)
        valkey.say("CLIENT KILL TYPE normal")

        assert call(both.exchange, pack("PING"), 1) == [b"PONG"]


def test_no_answer_in_time_is_an_error_and_the_late_one_is_never_read(both: Both, call: Call) -> None:
    with pytest.raises(RedisTimeoutError):
        call(both.exchange, pack("BLPOP", "nothing", "20"), 1, timeout=0.1)

    assert call(both.exchange, pack("ECHO", "mine"), 1) == [b"mine"]


def test_a_blocking_command_may_take_longer_than_the_connections_timeout(
    call: Call, own_valkey: Valkey, use_cache: Any
) -> None:
    use_cache(own_valkey.url, OPTIONS={"SOCKET_TIMEOUT": 0.1})
    store = store_for("default")
    assert isinstance(store, RedisStore)

    def took_longer() -> bool:
        with suppress(RedisTimeoutError):  # a new connection is greeted within its timeout, or not
            return bool(call(Both(store).exchange, pack("BLPOP", "nothing", "0.3"), 1, timeout=20) == [None])
        return False

    until(took_longer)


async def test_a_cancelled_exchange_leaves_no_half_read_connection(both: Both) -> None:
    task = asyncio.create_task(both.aexchange(pack("BLPOP", "nothing", "5"), 1, timeout=10))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await both.aexchange(pack("ECHO", "mine"), 1) == [b"mine"]


def test_an_interrupted_exchange_gives_its_connection_back(own_valkey: Valkey) -> None:
    pool = ConnectionPool.from_url(own_valkey.url, max_connections=2)
    wire = Wire(pool)

    for _ in range(5):
        with pytest.raises(RedisTimeoutError):
            wire.exchange(pack("BLPOP", "nothing", "20"), 1, timeout=0.01)

    assert wire.exchange(pack("PING"), 1) == [b"PONG"]
    wire.drop()
    pool.disconnect()


def test_nobody_listens(call: Call, use_cache: Any) -> None:
    with Valkey() as server:
        url = server.url
    use_cache(url)
    store = store_for("default")
    assert isinstance(store, RedisStore)

    def seconds() -> float:
        started = time.monotonic()
        with pytest.raises(RedisConnectionError):
            call(Both(store).exchange, pack("PING"), 1)
        return time.monotonic() - started

    assert min(seconds() for _ in range(3)) < 1.5, "each try in vain would take longer if redis-py tried again"


def test_loops_that_end_leave_no_connections(both: Both, valkey: Valkey) -> None:
    before = clients(valkey)

    for _ in range(5):
        asyncio.run(both.aexchange(pack("PING"), 1))

    until(lambda: clients(valkey) <= before)


def test_a_unix_socket_will_do(call: Call, own_valkey: Valkey, use_cache: Any) -> None:
    use_cache(own_valkey.socket_url)
    store = store_for("default")
    assert isinstance(store, RedisStore)

    assert call(Both(store).exchange, pack("PING"), 1) == [b"PONG"]


@pytest.fixture
def wire() -> Iterator[Wire]:
    store = store_for("default")
    assert isinstance(store, RedisStore)
    yield (wire := Wire(store.pool))
    wire.drop()


def test_what_is_posted_comes_before_what_is_asked_next(wire: Wire) -> None:
    heard: list[Any] = []

    wire.post(pack("INCR", "n") + pack("INCR", "n"), 2, heard.append)
    wire.post(pack("LPUSH", "n", "x"), 1, heard.append)

    assert not heard
    assert wire.owes
    assert wire.exchange(pack("GET", "n"), 1) == [b"2"]
    assert heard[0] == [1, 2]
    assert isinstance(heard[1][0], ResponseError)
    assert not wire.owes


def test_what_was_posted_can_be_heard_of_without_asking(wire: Wire, valkey: Valkey) -> None:
    heard: list[Any] = []
    wire.post(pack("INCR", "n"), 1, heard.append)
    before = clients(valkey)

    wire.hear()
    wire.hear()

    assert heard == [[1]]
    assert clients(valkey) == before


def test_who_posted_learns_that_the_connection_was_lost(own_valkey: Valkey, use_cache: Any) -> None:
    use_cache(own_valkey.url)
    store = store_for("default")
    assert isinstance(store, RedisStore)
    wire = Wire(store.pool)
    wire.exchange(pack("PING"), 1)
    heard: list[Any] = []
    own_valkey.pause()
    wire.post(pack("INCR", "n"), 1, heard.append)
    own_valkey.kill()

    with pytest.raises(RedisConnectionError):
        wire.hear()

    assert heard == [None]


def test_a_child_hears_nothing_of_what_its_parent_posted(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    wire.post(pack("INCR", "n"), 1, heard.append)
    kept = wire._free

    monkeypatch.setattr("cachekit.stores.wire.os.getpid", lambda: -1)
    wire.hear()
    monkeypatch.undo()

    assert not heard
    kept.pop().talk(b"", 0)
    assert heard == [[1]]
