"""CACHE_URL and CELERY_BROKER_URL: what is understood, what is refused."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from kombu import Connection

from demo_site.urls_from_env import broker_url, cache_settings, redis_url
from tests.servers import Valkey


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:p%40ss@cache.example:6380/3?health_check_interval=5", None),
        ("rediss://user:secret@cache.example:6380/0", None),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
        ("valkey://cache:6379/1", "redis://cache:6379/1"),
        ("valkeys://cache:6379/1", "rediss://cache:6379/1"),
        ("VALKEY://cache:6379/1", "redis://cache:6379/1"),
        ("redis+socket:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis://[::1]:6379/0", None),
        ("  redis://localhost  ", "redis://localhost"),
    ],
)
def test_what_names_one_server_is_translated(given: str, meant: str | None) -> None:
    assert redis_url(given) == (meant or given)


@pytest.mark.parametrize(
    "given",
    [
        "redis+sentinel://a:26379,b:26379/mymaster",
        "sentinel://a:26379/0",
        "redis+cluster://a:6379",
        "rediss+cluster://a:6379",
        "valkey+sentinel://a:26379/0",
    ],
)
def test_sentinel_and_cluster_are_refused_with_what_works(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"one server.*redis://host:6379/0") as refusal:
        redis_url(given)

    assert given.partition("://")[0] in str(refusal.value)


@pytest.mark.parametrize(
    "given", ["localhost:6379", "memcached://localhost", "/run/redis.sock", "redis://", "unix://", "redis://host:port"]
)
def test_other_urls_are_refused_with_what_works(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="CACHE_URL"):
        redis_url(given)


@pytest.mark.parametrize(
    "given", ["redis+sentinel://:hunter2@a:26379/0", "redis://:x/hunter2@a:1", "nope://:hunter2@a"]
)
def test_a_password_is_never_part_of_a_refusal(given: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        redis_url(given)

    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("given", [None, ""])
def test_no_server_means_memory(given: str | None) -> None:
    assert cache_settings(given)["BACKEND"] == "cachekit.backends.MemoryCache"


def test_a_server_means_redis() -> None:
    found = cache_settings("valkey://cache:6379/0")

    assert (found["BACKEND"], found["LOCATION"]) == ("cachekit.backends.RedisCache", "redis://cache:6379/0")


@pytest.mark.parametrize(
    ("cache", "explicit", "broker"),
    [
        (None, None, "memory://"),
        ("redis://h:6379", None, "redis://h:6379/1"),
        ("redis://h:6379/4", None, "redis://h:6379/5"),
        ("redis://h:6379/15", None, "redis://h:6379/0"),
        ("redis://h:6379?db=2", None, "redis://h:6379/3"),
        ("valkey://:pw@h/0", None, "redis://:pw@h/1"),
        ("rediss://h:6379/0", None, "rediss://h:6379/1?ssl_cert_reqs=required"),
        ("unix:///run/r.sock?db=1", None, "redis+socket:///run/r.sock?virtual_host=2"),
        ("redis://h/0", "amqp://rabbit//", "amqp://rabbit//"),
        ("redis://h/0", "redis://other/7", "redis://other/7"),
        (None, "valkey://other:6379/7", "redis://other:6379/7"),
        (None, "unix:///run/r.sock?db=3", "redis+socket:///run/r.sock?virtual_host=3"),
    ],
)
def test_the_broker_is_another_database_of_the_same_server_unless_named(
    cache: str | None, explicit: str | None, broker: str
) -> None:
    assert broker_url(cache, explicit) == broker


def test_a_database_that_is_no_number_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="'first'"):
        broker_url("redis://h:6379/first")


def test_celery_reaches_the_database_it_is_given(valkey: Valkey) -> None:
    with Connection(broker_url(valkey.url)) as connection, connection.SimpleQueue("urls-from-env") as queue:
        queue.put("hello")

        found = valkey.say("INFO keyspace")

    assert "db1:" in found
    assert "db0:" not in found
