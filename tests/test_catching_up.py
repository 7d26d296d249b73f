"""A process that saw its cache away makes sure that nothing was missed meanwhile before it reads again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from cachekit import engine, invalidation, outbox
from cachekit.exceptions import StoreUnavailable
from cachekit.models import Outbox
from cachekit.stores import store_for
from tests.making import Source, spec_of
from tests.servers import Valkey
from tests.twins import Call

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(own_valkey: Valkey, use_cache: Callable[..., None], settings: Any) -> Iterator[Valkey]:
    """A server of one's own behind the alias `default`."""
    settings.CACHEKIT = {"BREAKER_PAUSE": 0.05, "BREAKER_FAILURES": 100}
    use_cache(own_valkey.url)
    yield own_valkey
    own_valkey.resume()


def see_trouble(server: Valkey) -> None:
    """Have this process see that its cache is away."""
    server.say("CONFIG SET min-replicas-to-write 1")
    with pytest.raises(StoreUnavailable):
        store_for("default").load("key")
    server.say("CONFIG SET min-replicas-to-write 0")
    assert store_for("default").suspect


def missed(*tags: str, aliases: str = "default") -> None:
    """Leave what another process could not tell."""
    with transaction.atomic():
        outbox.write(connection, tags, aliases.split())


def test_what_others_could_not_tell_is_told_before_the_next_read(server: Valkey, call: Call) -> None:
    spec, source = spec_of("default"), Source("old", "new", tags=("homepage",))
    call(engine.get_or_set, spec, call.producer(source))
    see_trouble(server)
    missed("homepage")

    assert call(engine.get_or_set, spec, call.producer(source)) == "new"

    assert not store_for("default").suspect
    assert not Outbox.objects.exists()


def test_without_anything_missed_the_cache_is_used_at_once(server: Valkey, call: Call) -> None:
    spec, source = spec_of("default"), Source("old", "new", tags=("homepage",))
    call(engine.get_or_set, spec, call.producer(source))
    see_trouble(server)
    missed("homepage", aliases="memory")

    assert call(engine.get_or_set, spec, call.producer(source)) == "old"

    assert not store_for("default").suspect


def test_inside_a_transaction_nothing_is_relayed_nor_read_from_the_cache(server: Valkey) -> None:
    spec, source = spec_of("default"), Source("old", "new", "newer", tags=("homepage",))
    engine.get_or_set(spec, source)
    see_trouble(server)
    missed("homepage")

    with transaction.atomic():
        assert engine.get_or_set(spec, source) == "new"
        assert Outbox.objects.count() == 1
    assert engine.get_or_set(spec, source) == "newer"
    assert not Outbox.objects.exists()


def test_trouble_while_catching_up_is_not_forgotten(server: Valkey, call: Call, monkeypatch: Any) -> None:
    see_trouble(server)
    store = store_for("default")

    def relays(alias: str) -> bool:
        store.failed(ConnectionError("away again"))  # type: ignore[attr-defined]
        return True

    monkeypatch.setattr(invalidation, "drained", relays)
    call(engine.get_or_set, spec_of("default"), call.producer(Source("value")))

    assert store.suspect


def test_who_only_reads_tries_no_server_that_is_away_though_it_owes_it_something(
    own_valkey: Valkey, use_cache: Callable[..., None], settings: Any, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "BREAKER_PAUSE": 3600}  # no second try while the test runs
    use_cache(own_valkey.url)
    spec = spec_of("default")
    readers: list[str] = []
    own_valkey.kill()
    while not store_for("default").breaker.is_open:  # type: ignore[attr-defined]
        call(engine.get_or_set, spec, call.producer(Source("value")))
    assert not engine.invalidate("homepage")

    async def atold(alias: str) -> None:
        readers.append(alias)

    courier = invalidation.deliver
    mine = threading.current_thread()

    def deliver(alias: str) -> None:
        courier(alias) if threading.current_thread() is not mine else readers.append(alias)

    monkeypatch.setattr(invalidation, "deliver", deliver)
    monkeypatch.setattr(invalidation, "adeliver", atold)

    assert call(engine.get_or_set, spec, call.producer(Source("newer"))) == "newer"
    assert readers == []
