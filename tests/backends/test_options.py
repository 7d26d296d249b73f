"""LOCATION and OPTIONS, as django-redis and as Django's own backend document them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from redis.connection import BlockingConnectionPool

from cachekit.backends import options
from cachekit.stores import aliases, store_for
from tests.backends.conftest import Make
from tests.servers import Valkey
from tests.twins import Call


def pool(cache: Any) -> Any:
    return cache.client.get_client().connection_pool


def test_each_alias_has_the_options_it_asked_for(make: Make) -> None:
    quick = make("quick", OPTIONS={"SOCKET_TIMEOUT": 0.5})
    patient = make("patient", OPTIONS={"SOCKET_TIMEOUT": 5})

    assert pool(quick).connection_kwargs["socket_timeout"] == 0.5
    assert pool(patient).connection_kwargs["socket_timeout"] == 5
    assert pool(quick) is not pool(patient)


def test_the_pool_is_shared_by_the_caches_of_an_alias(make: Make) -> None:
    first = make("one")
    second = make("one")

    assert first is not second
    assert pool(first) is pool(second) is store_for("one").client.connection_pool  # type: ignore[attr-defined]


def test_options_of_djangos_backend(make: Make, call: Call) -> None:
    cache = make(
        OPTIONS={
            "db": 5,
            "socket_timeout": 0.7,
            "pool_class": BlockingConnectionPool,
            "parser_class": "redis.connection.DefaultParser",
        },
        LOCATION=make("plain").client._server[0].rpartition("/")[0],
    )

    assert pool(cache).connection_kwargs["db"] == 5
    assert pool(cache).connection_kwargs["socket_timeout"] == 0.7
    assert isinstance(pool(cache), BlockingConnectionPool)
    assert call(cache.set, "k", 1) is True
    assert call(cache.get, "k") == 1


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("redis://a", ["redis://a"]),
        ("redis://a,redis://b", ["redis://a", "redis://b"]),
        ("redis://a;redis://b", ["redis://a", "redis://b"]),
        (["redis://a", "redis://b"], ["redis://a", "redis://b"]),
    ],
)
def test_locations(location: Any, found: list[str]) -> None:
    assert options.servers(location) == found


def test_no_location(make: Make) -> None:
    with pytest.raises(ImproperlyConfigured, match="LOCATION of a RedisCache is empty"):
        make(LOCATION="")


def test_a_valkey_url(make: Make, valkey: Valkey, call: Call) -> None:
    cache = make(LOCATION=valkey.url.replace("redis://", "valkey://"))

    call(cache.set, "k", 1)

    assert call(cache.get, "k") == 1


def test_a_unix_socket(make: Make, valkey: Valkey, call: Call) -> None:
    cache = make(LOCATION=valkey.socket_url)

    call(cache.set, "k", 1)

    assert call(cache.get, "k") == 1


def test_fakeredis_for_tests_of_projects() -> None:
    cache: Any = caches["fake"]

    assert cache.set("k", {"a": 1}) is True
    assert cache.get("k") == {"a": 1}
    assert cache.incr("n", ignore_key_check=True) == 1
    assert cache.clear() is True
    assert cache.get("k") is None


@pytest.mark.parametrize("path", ["django_redis.client.DefaultClient", "cachekit.backends.client.Client"])
def test_django_rediss_default_client_may_be_named(make: Make, path: str) -> None:
    cache = make(OPTIONS={"CLIENT_CLASS": path})

    assert type(cache.client).__module__ == "cachekit.backends.client"


@pytest.mark.parametrize("name", ["ShardClient", "HerdClient"])
def test_django_rediss_other_clients_are_refused(make: Make, name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"{name}' does not work .* Remove the line"):
        make(OPTIONS={"CLIENT_CLASS": f"django_redis.client.{name}"})


def test_connections_close_on_demand(make: Make) -> None:
    cache = make(OPTIONS={"CLOSE_CONNECTION": True})
    cache.set("k", 1)
    assert cache.cachekit_store.wire._free

    cache.close()

    assert not cache.cachekit_store.wire._free
    assert cache.get("k") == 1


def test_the_stores_of_the_aliases() -> None:
    assert set(aliases()) >= {"default", "memory"}
    for alias in ("default", "memory"):
        assert caches[alias].cachekit_store is store_for(alias)  # type: ignore[attr-defined]
        assert caches[alias].alias == store_for(alias).alias == alias  # type: ignore[attr-defined]


PATIENT = {"SOCKET_CONNECT_TIMEOUT": 2, "SOCKET_TIMEOUT": 2}


class TestReplicas:
    """One server takes the writes, the others answer reads."""

    @pytest.fixture
    def replica(self, own_valkey: Valkey) -> Iterator[Valkey]:
        own_valkey.say("CONFIG SET repl-diskless-sync-delay 0")
        with Valkey("--replicaof", "127.0.0.1", str(own_valkey.port)) as server:
            until(lambda: "master_link_status:up" in server.say("INFO replication"))
            yield server

    def test_reads_go_to_the_replica(self, make: Make, own_valkey: Valkey, replica: Valkey, call: Call) -> None:
        cache = make(LOCATION=[own_valkey.url, replica.url], OPTIONS=PATIENT)
        call(cache.set, "k", 1)
        until(lambda: arrived(cache, replica))
        before = hits(replica)

        assert call(cache.get, "k") == 1
        assert hits(replica) > before

    def test_a_clear_is_seen_through_a_replica_that_lags(
        self, make: Make, own_valkey: Valkey, replica: Valkey, call: Call
    ) -> None:
        cache = make(LOCATION=[own_valkey.url, replica.url], OPTIONS=PATIENT)
        call(cache.set, "k", 1)
        until(lambda: arrived(cache, replica))
        assert call(cache.get, "k") == 1
        replica.say("REPLICAOF 127.0.0.1 1")  # keeps serving what it has, and learns nothing more

        call(cache.clear)
        call(cache.set, "l", 2)

        assert call(cache.get_many, ["k", "l"]) == {}
        assert call(cache.get, "k") is None
        assert call(cache.has_key, "k") is False

    def test_a_lost_replica_is_not_missed(self, make: Make, own_valkey: Valkey, replica: Valkey, call: Call) -> None:
        cache = make(LOCATION=[own_valkey.url, replica.url], OPTIONS=PATIENT)
        call(cache.set, "k", 1)
        replica.kill()

        assert call(cache.get, "k") == 1

    def test_a_write_that_fails_over_keeps_its_timeout(self, make: Make, own_valkey: Valkey, call: Call) -> None:
        with Valkey() as other:
            cache = make(LOCATION=[own_valkey.url, other.url], OPTIONS={"REPLICA_READ_ONLY": False})
            own_valkey.kill()

            assert call(cache.set, "k", 1, 100) is True
            assert 80 < call(cache.ttl, "k") <= 100


def until(arrived: Callable[[], bool]) -> None:
    """Wait for what another process does, at most 20 s."""
    deadline = time.monotonic() + 20
    while not arrived():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def arrived(cache: Any, replica: Valkey) -> bool:
    """Say whether the replica has the entry "k"."""
    return replica.say(f"EXISTS {cache.client.make_key('k')}").startswith(":1")


def hits(server: Valkey) -> int:
    stats = dict(line.split(":", 1) for line in server.say("INFO stats").splitlines() if ":" in line)
    return int(stats["keyspace_hits"])


def test_without_redis_installed_memory_works_and_redis_says_what_to_install() -> None:
    code = """
import sys
sys.modules["redis"] = sys.modules["django_redis"] = None
import django
from django.conf import settings
settings.configure(SECRET_KEY="x", CACHES={"default": {"BACKEND": "cachekit.backends.MemoryCache"}})
django.setup()
from django.core.cache import cache
cache.set("k", 1)
assert cache.get("k") == 1
import cachekit.backends
from cachekit.exceptions import MissingExtra
try:
    cachekit.backends.RedisCache
except MissingExtra as error:
    print(error)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)

    assert "pip install 'django-cachekit[redis]'" in done.stdout, done.stderr


def test_an_unknown_name_of_the_package() -> None:
    import cachekit.backends

    with pytest.raises(AttributeError, match="Unknown"):
        cachekit.backends.Unknown  # noqa: B018
