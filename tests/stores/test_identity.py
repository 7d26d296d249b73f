"""Who answers over a new connection: another server begins an epoch, one that refuses writes is away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ReadOnlyError

from cachekit import engine
from cachekit.core import dependencies, steps
from cachekit.core.entry import NEVER, Header, seal
from cachekit.exceptions import StoreUnavailable
from cachekit.stores import store_for
from cachekit.stores.redis import RedisStore
from cachekit.stores.wire import Wire, pack
from tests.making import Source, spec_of
from tests.servers import Valkey
from tests.twins import Call


@pytest.fixture
def server(own_valkey: Valkey, use_cache: Callable[..., None], settings: Any) -> Iterator[Valkey]:
    """A server of one's own behind the alias `default`."""
    settings.CACHEKIT = {"BREAKER_PAUSE": 0.1}
    use_cache(own_valkey.url)
    yield own_valkey
    own_valkey.resume()


def redis() -> RedisStore:
    store = store_for("default")
    assert isinstance(store, RedisStore)
    return store


def test_the_ledger_knows_the_server_it_was_written_on(server: Valkey, call: Call) -> None:
    call(redis().do, steps.Begin("key"))

    name: Any = redis().client.hget(redis().ledger.root, "server")

    assert f"run_id:{name.decode()}\r\n" in server.say("INFO server")


def test_a_ledger_of_another_server_begins_an_epoch_once(server: Valkey, call: Call) -> None:
    spec, source = spec_of("default"), Source("old", "new")
    call(engine.get_or_set, spec, call.producer(source))
    redis().client.hset(redis().ledger.root, "server", "of-old")  # as a restored snapshot has it
    server.say("CLIENT KILL TYPE normal")

    assert call(engine.get_or_set, spec, call.producer(source)) == "new"
    server.say("CLIENT KILL TYPE normal")
    assert call(engine.get_or_set, spec, call.producer(source)) == "new"

    assert source.runs == 2
    told: Any = redis().client.xrange(redis().ledger.events)
    assert [event[b"kind"] for _, event in told] == [b"epoch"]


def test_counters_of_the_root_survive_another_epoch(server: Valkey) -> None:
    store = redis()
    store.do(steps.Invalidate(("homepage",)))
    before: Any = store.client.hmget(store.ledger.root, ["seq", "gen"])
    store.client.hset(store.ledger.root, "server", "of-old")
    server.say("CLIENT KILL TYPE normal")

    store.do(steps.Begin("key"))

    after: Any = store.client.hmget(store.ledger.root, ["seq", "gen"])
    assert (int(after[0]), after[1]) == (int(before[0]) + 1, before[1])


def test_a_replica_is_away(server: Valkey, call: Call) -> None:
    call(redis().do, steps.Begin("key"))
    server.say("REPLICAOF 127.0.0.1 1")
    server.say("CLIENT KILL TYPE normal")

    with pytest.raises(StoreUnavailable, match="a replica answers"):
        call(redis().do, steps.Load(redis().key("key")))


REFUSING = {
    "read-only": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    "without replicas": ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
}


@pytest.mark.parametrize("trouble", REFUSING)
def test_nothing_is_read_from_a_server_that_refuses_writes(server: Valkey, call: Call, trouble: str) -> None:
    """Over connections that stand already: nobody could invalidate what is read there."""
    spec, source = spec_of("default"), Source("old", "new", "newer")
    call(engine.get_or_set, spec, call.producer(source))
    assert call(engine.get_or_set, spec, call.producer(source)) == "old"

    server.say(REFUSING[trouble][0])
    with pytest.raises(StoreUnavailable):
        call(redis().do, steps.Load(spec.key))
    assert call(engine.get_or_set, spec, call.producer(source)) == "new"
    server.say(REFUSING[trouble][1])


def test_a_connection_that_saw_a_refusal_is_not_used_again(server: Valkey, call: Call) -> None:
    call(redis().do, steps.Load("key"))
    server.say("CONFIG SET min-replicas-to-write 1")
    with pytest.raises(StoreUnavailable):
        call(redis().do, steps.Load("key"))
    server.say("CONFIG SET min-replicas-to-write 0")
    redis().client.hset(redis().ledger.root, "server", "of-old")

    assert call(redis().do, steps.Begin("key")).epoch
    assert redis().client.hget(redis().ledger.root, "server") != b"of-old"


def test_a_connection_that_another_user_of_the_pool_closed_is_greeted_again(server: Valkey) -> None:
    store = redis()
    store.do(steps.Begin("key"))
    store.client.hset(store.ledger.root, "server", "of-old")
    store.pool.disconnect()

    store.do(steps.Begin("key"))

    assert store.client.hget(store.ledger.root, "server") != b"of-old"


def test_a_greeting_that_fails_gives_the_connection_back(server: Valkey) -> None:
    def greeting() -> Any:
        yield pack("PING"), 1, None
        raise ReadOnlyError("no")

    wire = Wire(redis().pool, greeting)
    for _ in range(200):  # more than the pool has
        with pytest.raises(ReadOnlyError):
            wire.exchange(pack("PING"), 1)


def test_another_server_is_told_again_what_the_last_one_was_told(server: Valkey, call: Call) -> None:
    """A master that was replaced took writes for a while; readers had begun the new one's epoch before."""
    with Valkey() as promoted:
        reader = moved_to(promoted, neighbour())
        begun = call(reader.do, steps.Begin("key"))
        on = dependencies.encode(["homepage"])
        header = Header(begun.epoch, begun.read_point, begun.read_point, NEVER, 1, on)
        call(reader.do, steps.Save(reader.key("key"), seal(header, b"old"), 0, on))
        assert reader.load(reader.key("key")).newest <= header.read_point

        writer = redis()
        call(writer.do, steps.Invalidate(("homepage",)))
        moved_to(promoted, writer)
        call(writer.do, steps.Begin("another"))

        assert reader.load(reader.key("key")).newest > header.read_point
        reader.wire.drop()


def neighbour() -> RedisStore:
    """Return what another process knows, with connections of its own."""
    store = redis()
    pool = type(store.pool)(**store.pool.connection_kwargs)
    return RedisStore(store.alias, store.prefix, Redis(connection_pool=pool))


def moved_to(server: Valkey, store: RedisStore) -> RedisStore:
    """Have a store connect to another server from now on."""
    store.pool.connection_kwargs["port"] = server.port
    store.pool.reset()
    store.wire.distrust()
    store.awire.distrust()
    return store


def test_a_server_without_a_name_is_always_the_same() -> None:
    """Fakeredis has neither INFO nor ROLE; it is asked by callers only."""
    spec, source = spec_of("fake"), Source("value", "another")

    assert [engine.get_or_set(spec, source) for _ in range(2)] == ["value", "value"]
    store_for("fake").reset()
    assert engine.get_or_set(spec, source) == "value"
