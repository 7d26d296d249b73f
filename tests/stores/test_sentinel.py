"""Who is asked for the master, who is believed, and what is said where nobody knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured

from cachekit import engine
from cachekit.backends import RedisCache
from cachekit.exceptions import StoreUnavailable
from cachekit.stores import store_for
from tests.making import Source, spec_of
from tests.servers import Sentinel, Valkey, free_port
from tests.twins import Call

UseCache = Callable[..., None]


@pytest.fixture(scope="module")
def master() -> Iterator[Valkey]:
    """A master for the tests of this module."""
    with Valkey("--repl-diskless-sync-delay", "0", "--shutdown-timeout", "0") as server:
        yield server


@pytest.fixture(scope="module")
def sentinel(master: Valkey) -> Iterator[Sentinel]:
    """A sentinel that watches it."""
    with Sentinel(master) as server:
        yield server


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Servers of one test."""
    with ExitStack() as servers:
        yield servers


def led(use_cache: UseCache, *sentinels: Any, url: str = "redis://mymaster/0", **options: Any) -> Any:
    """Point the default cache at what these sentinels name."""
    addresses = [getattr(one, "address", one) for one in sentinels]
    use_cache(url, OPTIONS={"SENTINELS": addresses, **options})
    return caches["default"]


def test_every_door_finds_the_master(use_cache: UseCache, master: Valkey, sentinel: Sentinel, call: Call) -> None:
    cache = led(use_cache, sentinel)
    spec, source = spec_of("default", f"door-{call.awaited}"), Source("value", tags=("homepage",))

    values = [call(engine.get_or_set, spec, call.producer(source)) for _ in range(2)]
    call(cache.set, "k", 1)

    assert (values, source.runs) == (["value", "value"], 1)
    assert call(cache.get, "k") == 1
    assert cache.sadd("s", "member") in (0, 1)
    with cache.lock("l", timeout=5):
        assert cache.lock("l").locked()
    assert master.say(f"EXISTS {cache.client.make_key('k')}").startswith(":1")


def test_sentinels_that_are_down_are_skipped_and_then_spared(
    use_cache: UseCache, sentinel: Sentinel, stack: ExitStack, master: Valkey, call: Call
) -> None:
    frozen = stack.enter_context(Sentinel(master))
    cache = led(use_cache, ("127.0.0.1", free_port()), frozen, sentinel, SENTINEL_KWARGS={"socket_timeout": 1})
    store: Any = store_for("default")
    before = connections(frozen)

    with frozen.paused():
        assert call(cache.set, "k", 1)
        for _ in range(20):
            store.reset()
            assert call(cache.get, "k") == 1

    assert connections(frozen) - before < 10, "a sentinel that did not answer is not asked each time"


def test_the_sentinel_that_saw_the_latest_failover_is_believed(
    use_cache: UseCache, master: Valkey, stack: ExitStack, own_valkey: Valkey, call: Call
) -> None:
    behind = stack.enter_context(Sentinel(own_valkey, "sentinel config-epoch mymaster 3"))
    ahead = stack.enter_context(Sentinel(master, "sentinel config-epoch mymaster 4"))
    cache = led(use_cache, behind, ahead)

    assert call(cache.set, "k", 1)

    assert own_valkey.say("DBSIZE").startswith(":0")


def test_reads_of_a_sentinel_client_go_to_a_replica(
    use_cache: UseCache, master: Valkey, stack: ExitStack, call: Call
) -> None:
    replica = stack.enter_context(
        Valkey("--replicaof", "127.0.0.1", str(master.port), "--repl-diskless-sync-delay", "0")
    )
    watch = stack.enter_context(Sentinel(master))
    until(lambda: watch.knows(replica))
    cache = led(use_cache, watch, CLIENT_CLASS="django_redis.client.SentinelClient")
    assert call(cache.set, "k", call.awaited)
    until(lambda: replica.say(f"GET {cache.client.make_key('k')}") == master.say(f"GET {cache.client.make_key('k')}"))
    before = hits(replica)

    assert [call(cache.get, "k") for _ in range(5)] == [call.awaited] * 5
    assert hits(replica) >= before + 5


def test_without_replicas_reads_go_to_the_master(use_cache: UseCache, sentinel: Sentinel, call: Call) -> None:
    cache = led(use_cache, sentinel, CLIENT_CLASS="django_redis.client.SentinelClient")

    assert call(cache.set, "k", 1)
    assert call(cache.get, "k") == 1


def test_a_sentinel_with_a_password_and_a_service_in_capitals(
    use_cache: UseCache, master: Valkey, stack: ExitStack, call: Call
) -> None:
    watch = stack.enter_context(Sentinel(master, "requirepass hidden", service="MyMaster"))
    cache = led(use_cache, watch, url="redis://MyMaster/0", SENTINEL_KWARGS={"password": "hidden"})

    assert call(cache.set, "k", 1)
    assert call(cache.get, "k") == 1


@pytest.mark.parametrize(
    ("service", "known", "said"),
    [
        ("mymaster", False, "No sentinel names a master of 'mymaster'"),
        ("other", True, "No such master with that name"),
    ],
)
def test_where_nobody_knows_pages_compute(
    use_cache: UseCache, sentinel: Sentinel, call: Call, service: str, known: bool, said: str
) -> None:
    cache = led(use_cache, sentinel if known else ("127.0.0.1", free_port()), url=f"redis://{service}/0")

    with pytest.raises(StoreUnavailable, match=said):
        call(store_for("default").load, "key")
    assert call(engine.get_or_set, spec_of("default"), call.producer(Source("value"))) == "value"
    assert call(cache.get, "k", "nothing") == "nothing"


def test_a_master_that_is_down_is_not_tried(
    use_cache: UseCache, stack: ExitStack, own_valkey: Valkey, call: Call
) -> None:
    watch = stack.enter_context(Sentinel(own_valkey, down_after=300))
    own_valkey.kill()
    until(lambda: "s_down" in watch.say("SENTINEL MASTER mymaster"))
    led(use_cache, watch)

    with pytest.raises(StoreUnavailable, match="master of 'mymaster' is down"):
        call(store_for("default").load, "key")


def test_tls_to_the_master(use_cache: UseCache, sentinel: Sentinel) -> None:
    store: Any = (led(use_cache, sentinel, url="rediss://mymaster/0"), store_for("default"))[1]

    assert store.pool.connection_class.__name__ == "LedSSLConnection"
    assert store.pool.connection_class.twin.__name__ == "AsyncLedSSLConnection"


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("redis+sentinel://a:26379/mymaster", {}, 'redis://<name of the master>/0, .* "SENTINELS"'),
        (
            "redis://mymaster/0",
            {"CLIENT_CLASS": "django_redis.client.SentinelClient"},
            "SentinelClient' needs the addresses",
        ),
        (
            "redis://mymaster/0",
            {"CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory"},
            "Factory' needs the",
        ),
        ("redis://mymaster/0", {"SENTINELS": "a:26379"}, "SENTINELS must be a list"),
        ("unix:///tmp/socket", {"SENTINELS": [("a", 26379)]}, "LOCATION must name the master"),
    ],
)
def test_settings_that_cannot_work_say_what_to_write(url: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=said):
        RedisCache(url, {"OPTIONS": options}).cachekit_store  # noqa: B018


def test_what_django_redis_documents_works(use_cache: UseCache, settings: Any, sentinel: Sentinel) -> None:
    settings.DJANGO_REDIS_CONNECTION_FACTORY = "django_redis.pool.SentinelConnectionFactory"

    cache = led(
        use_cache,
        sentinel,
        url=["redis://mymaster/0?is_master=1", "redis://mymaster/0?is_master=0"],  # type: ignore[arg-type]
        CLIENT_CLASS="django_redis.client.DefaultClient",
        CONNECTION_POOL_CLASS="redis.sentinel.SentinelConnectionPool",
    )

    assert cache.set("k", 1)
    assert cache.get("k") == 1


def hits(server: Valkey) -> int:
    """Return how many keys a server has found."""
    return count(server, "keyspace_hits")


def connections(server: Valkey) -> int:
    """Return how many connections a server has taken."""
    return count(server, "total_connections_received")


def count(server: Valkey, name: str) -> int:
    """Return one of a server's counts."""
    line = next(line for line in server.say("INFO stats").splitlines() if line.startswith(name))
    return int(line.split(":")[1])


def until(arrived: Callable[[], object]) -> None:
    """Wait for what servers do in their own time, at most 20 s."""
    deadline = time.monotonic() + 20
    while not arrived():
        assert time.monotonic() < deadline
        time.sleep(0.05)
