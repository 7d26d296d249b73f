"""Redis is never a reason for a 500: killed, frozen, emptied, full, read-only or cut off, and back again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cachekit import engine, hooks, invalidation, testing
from cachekit.core.policy import Spec
from cachekit.exceptions import StoreUnavailable
from cachekit.stores import store_for
from cachekit.stores.redis import RedisStore
from tests.making import Source, hearing, spec_of
from tests.patience import until
from tests.servers import Valkey
from tests.twins import Call

QUICK = {"SOCKET_CONNECT_TIMEOUT": 0.2, "SOCKET_TIMEOUT": 0.2}
"""For a server that freezes. The others answer at once, if only to refuse, and have all the time they need."""
FROZEN = "frozen"
PAUSE = 0.3


class Site:
    """A process whose cache is on a server of its own; calls and awaits alike."""

    def __init__(self, server: Valkey, call: Call) -> None:
        self.server = server
        self.call = call

    def read(self, spec: Spec, source: Source) -> Any:
        """Get a value through the cache."""
        return self.call(engine.get_or_set, spec, self.call.producer(source))

    def hits(self, spec: Spec, source: Source) -> bool:
        """Tell whether a value comes out of the cache."""
        before = source.runs
        self.read(spec, source)
        return source.runs == before

    def warm(self, spec: Spec, source: Source) -> None:
        """Read until the value comes out of the cache: a quick connection may lose patience with a busy machine."""
        until(lambda: self.hits(spec, source))

    def invalidate(self, *things: Any) -> Any:
        """Invalidate in the default cache."""
        return self.call(engine.invalidate, *things, alias="default")

    @property
    def store(self) -> RedisStore:
        """The store."""
        store = store_for("default")
        assert isinstance(store, RedisStore)
        return store

    def wait_until_it_answers(self, spec: Spec) -> None:
        """Read until the breaker lets calls pass again."""

        def answers() -> bool:
            self.read(spec, Source("probe"))
            return not self.store.breaker.is_open

        until(answers)


@pytest.fixture
def trouble() -> str:
    """What befalls the server, where a test does not go through all there is."""
    return ""


@pytest.fixture
def site(own_valkey: Valkey, use_cache: Callable[..., None], call: Call, settings: Any, trouble: str) -> Iterator[Site]:
    """A process whose cache is on a server of its own, with short timeouts where that one freezes."""
    settings.CACHEKIT = {"BREAKER_PAUSE": PAUSE}
    use_cache(own_valkey.url, OPTIONS=QUICK if trouble == FROZEN else {})
    yield Site(own_valkey, call)
    own_valkey.resume()


TROUBLE: dict[str, tuple[Callable[[Valkey], Any], Callable[[Valkey], Any]]] = {
    "killed": (lambda server: server.kill(), lambda server: server.start()),
    FROZEN: (lambda server: server.pause(), lambda server: server.resume()),
    "full": (
        lambda server: server.say("CONFIG SET maxmemory 1"),
        lambda server: server.say("CONFIG SET maxmemory 0"),
    ),
    "read-only": (lambda server: server.say("REPLICAOF 127.0.0.1 1"), lambda server: server.say("REPLICAOF NO ONE")),
    "without replicas": (
        lambda server: server.say("CONFIG SET min-replicas-to-write 1"),
        lambda server: server.say("CONFIG SET min-replicas-to-write 0"),
    ),
    "locked": (
        lambda server: server.say("ACL SETUSER default -@scripting"),
        lambda server: server.say("ACL SETUSER default +@all"),
    ),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_server_in_trouble_breaks_nothing_and_misses_nothing(site: Site, trouble: str) -> None:
    spec, source = spec_of("default"), Source(*range(100), tags=("homepage",))
    site.warm(spec, source)
    before = source.runs
    breaks, mends = TROUBLE[trouble]
    breaks(site.server)

    told = site.invalidate("homepage")
    during = [site.read(spec, source) for _ in range(8)]
    mends(site.server)
    site.wait_until_it_answers(spec_of("default", "probe"))
    after = [site.read(spec, source) for _ in range(3)]
    site.warm(spec, source)

    assert during == list(range(before, before + 8)), (
        "computed each time: the writer of this process is never shown older data"
    )
    assert min(after) > max(during), "what was invalidated meanwhile is delivered before this process reads"
    assert trouble == FROZEN or after[1] == after[2]
    assert invalidation.pending("default") == ()
    assert told is (trouble == "full"), "a full server can still lose its root: everything is stale"


@pytest.mark.parametrize("trouble", ["killed", FROZEN])
def test_an_open_breaker_costs_next_to_nothing(site: Site, trouble: str) -> None:
    spec, source = spec_of("default"), Source("value")
    site.read(spec, source)
    with hearing(hooks.StoreDown) as down, hearing(hooks.StoreUp) as up:
        TROUBLE[trouble][0](site.server)
        while not site.store.breaker.is_open:
            site.read(spec, source)
        site.store.breaker._retry_at = time.monotonic() + 60

        costs = []
        for _ in range(20):
            started = time.perf_counter()
            if site.call.awaited:
                with pytest.raises(StoreUnavailable):
                    site.store.breaker.check()
            else:
                site.read(spec, source)
            costs.append(time.perf_counter() - started)

        assert [event.alias for event in down] == ["default"]
        assert up == []
        TROUBLE[trouble][1](site.server)
        site.store.breaker._retry_at = 0
        site.wait_until_it_answers(spec)

    assert min(costs) < 0.001, "whoever asked the server would wait for it each time"
    assert [event.alias for event in up] == ["default"]
    assert [event.alias for event in down] == ["default"]


@pytest.mark.parametrize("trouble", [FROZEN])
def test_a_frozen_server_costs_three_timeouts_not_more(site: Site, settings: Any) -> None:
    settings.CACHEKIT = {"BREAKER_PAUSE": 3600}
    testing.reset()
    spec, source = spec_of("default"), Source("value")
    site.read(spec, source)
    before = site.store.troubles

    with site.server.paused():
        for _ in range(10):
            site.read(spec, source)

    assert 1 <= site.store.troubles - before <= 3
    assert site.store.breaker.is_open


def test_a_server_restarted_empty_is_used_again_at_once(site: Site) -> None:
    spec, source = spec_of("default"), Source("old", "new")
    site.read(spec, source)

    site.server.restart()

    with hearing(hooks.StoreDown) as down:
        assert [site.read(spec, source) for _ in range(3)] == ["new", "new", "new"]
    assert down == []
    assert source.runs == 2


def test_cut_connections_are_replaced_unnoticed(site: Site) -> None:
    spec, source = spec_of("default"), Source("old", "new", tags=("homepage",))
    site.read(spec, source)

    with hearing(hooks.StoreDown) as down:
        for _ in range(5):
            site.server.say("CLIENT KILL TYPE normal")
            assert site.read(spec, source) == "old"
        site.server.say("CLIENT KILL TYPE normal")
        assert site.invalidate("homepage")
        site.server.say("CLIENT KILL TYPE normal")

        assert site.read(spec, source) == "new"
    assert down == []


def test_forgotten_scripts_are_sent_again(site: Site) -> None:
    spec, source = spec_of("default"), Source("old", "new", tags=("homepage",))
    site.read(spec, source)

    site.server.say("SCRIPT FLUSH")
    assert site.invalidate("homepage")
    site.server.say("SCRIPT FLUSH")

    assert [site.read(spec, source), site.read(spec, source)] == ["new", "new"]


def test_a_server_that_fills_up_while_a_value_is_computed(site: Site) -> None:
    spec = spec_of("default")

    value = site.read(spec, Source("value", before=lambda: site.server.say("CONFIG SET maxmemory 1")))

    assert value == "value"


def test_a_server_that_dies_while_a_value_is_computed(site: Site) -> None:
    spec = spec_of("default")

    assert site.read(spec, Source("value", before=site.server.kill)) == "value"
    assert site.read(spec, Source("again")) == "again"


@pytest.mark.parametrize("trouble", [FROZEN])
def test_what_was_computed_across_an_outage_and_an_invalidation_is_not_served(site: Site) -> None:
    spec = spec_of("default")

    def outage() -> None:
        site.server.pause()
        assert not site.invalidate("homepage")
        site.server.resume()

    first = site.read(spec, Source("old", tags=("homepage",), before=outage))
    site.wait_until_it_answers(spec_of("default", "probe"))

    assert first == "old"
    assert site.read(spec, Source("new", tags=("homepage",))) == "new"


def test_evicting_servers_serve_nothing_stale(site: Site) -> None:
    """Fill an evicting server until parts of the ledger are gone; no read may be older than the last invalidation."""
    site.server.say("CONFIG SET maxmemory 3mb")
    site.server.say("CONFIG SET maxmemory-policy allkeys-random")
    specs = [spec_of("default", f"k{n}") for n in range(30)]
    for turn in range(12):
        for n in range(0, 30, 4):
            site.invalidate(f"t{n}")
        for n, spec in enumerate(specs):
            value = site.read(spec, Source((turn, "x" * 150_000), tags=(f"t{n}",)))
            assert value[0] == turn or n % 4, "stale after an eviction"

    assert "evicted_keys:0\r\n" not in site.server.say("INFO stats")


def test_an_outer_value_with_parts_from_no_cache_is_not_stored(site: Site) -> None:
    outer, inner = spec_of("default", "outer"), spec_of("default", "inner")

    def read_inner() -> None:
        site.server.kill()
        engine.get_or_set(inner, Source("inner", tags=("homepage",)))
        site.server.start()

    with hearing(hooks.Refused) as refused:
        site.read(outer, Source("outer", before=read_inner))

    assert [(event.name, event.reason) for event in refused] == [("outer", "the cache server is away")]
    assert site.read(outer, Source("new")) == "new"
