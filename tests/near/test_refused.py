"""Where the ledger's stream cannot be had reads are strict, the cache works on, and a check says so."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from django.core.cache import caches
from redis import Redis

from cachekit import cached, checks, hooks, near
from cachekit.core.steps import Invalidate
from cachekit.invalidation import pending
from cachekit.stores import store_for
from cachekit.stores.redis import RedisStore
from cachekit.stores.streams import refusal_of
from tests.faults.cutter import Cutter
from tests.making import hearing
from tests.patience import until
from tests.servers import RedisServer, Valkey, free_port
from tests.twins import Call

numbers = count(1)


@cached(600, near=True, tags=("number",))
def number() -> int:
    return next(numbers)


class Proxy(Cutter):
    """A proxy that hangs up on a client that wants to wait for events, or before it has told what it wrote."""

    refuses = True
    cuts_off = False

    def _passing(self, way: str, data: bytes) -> int:
        if self.cuts_off and way == "questions" and b"EVALSHA" in data:
            return data.index(b"EVALSHA")
        if self.refuses and way == "questions" and b"XREAD" in data and b"BLOCK" in data:
            return 0
        return super()._passing(way, data)


@contextmanager
def by_proxy(server: Valkey) -> Iterator[tuple[str, Callable[[], object]]]:
    with Proxy(server.port) as proxy:
        yield proxy.url, lambda: setattr(proxy, "refuses", False)


@contextmanager
def by_acl(server: Valkey, *rules: str) -> Iterator[tuple[str, Callable[[], object]]]:
    server.say(f"ACL SETUSER near on >word ~* &* +@all {' '.join(rules)}")
    yield f"redis://near:word@127.0.0.1:{server.port}/0", lambda: server.say("ACL SETUSER near ~* +@all")


WAYS: dict[str, Callable[[Valkey], Any]] = {
    "a proxy hangs up": by_proxy,
    "no XREAD": lambda server: by_acl(server, "-xread"),
    "no XREVRANGE": lambda server: by_acl(server, "-xrevrange"),
    "nothing that blocks": lambda server: by_acl(server, "-@blocking"),
}


def heard() -> bool:
    """Tell whether a value is held, and known to be fresh."""
    number()
    found = near.present("default")
    return found is not None and len(found) > 0 and all(map(found.get, list(found._entries)))


@pytest.mark.parametrize("name", WAYS)
def test_reads_are_strict_and_the_cache_works_on(
    name: str, own_valkey: Valkey, use_cache: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cachekit.near")
    with WAYS[name](own_valkey) as (url, mend), hearing(hooks.StoreDown) as down:
        use_cache(url, OPTIONS={"NEAR": True})
        until(lambda: number() and "cannot be followed" in caplog.text)

        store, cache = store_for("default"), caches["default"]
        other = RedisStore("default", store.prefix, store.client)  # type: ignore[attr-defined]
        for _ in range(20):
            first = number()
            assert number() == first
            other.do(Invalidate(("number",)))
            assert number() > first
            cache.set("key", first)
            assert cache.get("key") == first
        assert not heard()
        assert not store.suspect
        (said,) = checks.check_streams(app_configs=None)
        assert said.id == "cachekit.W006"
        assert refusal_of(store) in said.msg

        assert caplog.text.count("cannot be followed") == 1
        assert not down

        mend()
        until(heard)


DEEDS = [
    "FLUSHALL",
    "SCRIPT FLUSH",
    "DEL {ck}:events",
    "XTRIM {ck}:events MAXLEN 0",
    "XADD {ck}:events * seq many",
    "XADD {ck}:events * not ours",
    "HSET {ck}:root seq 7",
    "CLIENT KILL TYPE normal",
]


@pytest.mark.parametrize("deed", DEEDS)
def test_whatever_becomes_of_the_stream(deed: str, valkey: Valkey, use_cache: Callable[..., None]) -> None:
    use_cache(valkey.url)
    until(heard)
    first = number()
    store = store_for("default")
    other = RedisStore("default", store.prefix, store.client)  # type: ignore[attr-defined]

    valkey.say(deed)
    other.do(Invalidate(("number",)))

    until(lambda: number() > first)
    until(heard)


def test_a_server_without_room_for_one_more(own_valkey: Valkey, use_cache: Callable[..., None]) -> None:
    use_cache(own_valkey.url)
    number()
    with Redis(port=own_valkey.port) as operator:
        operator.config_set("maxclients", len(operator.client_list()))
        until(lambda: number() == number())  # whoever has a connection has the cache
        operator.config_set("maxclients", 1000)

        until(heard)


class EncryptedRedis(RedisServer):
    """Redis that is spoken to by TLS."""

    def __init__(self) -> None:
        super().__init__()
        self.tls_port = free_port()
        key, certificate = str(self.folder / "key.pem"), str(self.folder / "certificate.pem")
        make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout"
        subprocess.run([*make.split(), key, "-out", certificate], check=True, capture_output=True)
        files = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no")
        self.options = ("--tls-port", str(self.tls_port), *files)

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.tls_port}/0?ssl_cert_reqs=none"


@pytest.mark.parametrize("way", ["a socket", "TLS"])
def test_other_ways_to_a_server(way: str, redis_server: RedisServer, use_cache: Callable[..., None]) -> None:
    if way == "TLS" and shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    with EncryptedRedis() if way == "TLS" else RedisServer() as server:
        use_cache(server.url if way == "TLS" else server.socket_url, OPTIONS={"NEAR": True})
        store, cache = store_for("default"), caches["default"]
        other = RedisStore("default", store.prefix, store.client)  # type: ignore[attr-defined]
        for _ in range(2):
            until(heard)
            first = number()
            other.do(Invalidate(("number",)))
            until(lambda: number() > first)  # noqa: B023 - asked at once
            cache.set_many({"a": first, "b": "x" * 100_000})
            assert cache.get_many(["a", "b"]) == {"a": first, "b": "x" * 100_000}
            assert cache.get("a") == first


def test_w006_is_silent_where_events_are_heard(valkey: Valkey) -> None:
    assert checks.check_streams(app_configs=None) == []


def test_e011_what_an_alias_says_of_near(valkey: Valkey, use_cache: Callable[..., None]) -> None:
    for value in (True, False, "hot", "tell"):
        use_cache(valkey.url, OPTIONS={"NEAR": value})
        assert checks.check_near(app_configs=None) == []
    use_cache(valkey.url, OPTIONS={"NEAR": "warm"})

    (said,) = checks.check_near(app_configs=None)

    assert said.id == "cachekit.E011"


@pytest.mark.parametrize("write", ["set", "delete", "set_many"])
def test_a_write_whose_answer_was_lost_is_told_later(
    write: str, valkey: Valkey, use_cache: Callable[..., None], call: Call
) -> None:
    with Proxy(valkey.port) as proxy:
        proxy.refuses = False
        use_cache(proxy.url, OPTIONS={"NEAR": True})
        use_cache(valkey.url, "plain", BACKEND="cachekit.backends.RedisCache", KEY_PREFIX="", OPTIONS={"NEAR": True})
        writer: Any = caches["default"]
        reader: Any = caches["plain"]
        writer.set("key", "old")
        until(lambda: reader.get("key") == "old" and reader._nearby.near.get("key"))

        proxy.cuts_off = True
        made: dict[str, Any] = {
            "set": (writer.set, "key", "new"),
            "delete": (writer.delete, "key"),
            "set_many": (writer.set_many, {"key": "new", "other": 1}),
        }
        deed, *given = made[write]
        call(deed, *given)
        assert pending("default")
        proxy.cuts_off = False

        until(lambda: not pending("default"))
        until(lambda: reader.get("key") == store_value(writer))


def store_value(cache: Any) -> Any:
    """Return what stands on the server."""
    return cache.get_many(["key"]).get("key")
