"""The relay: how it looks, stops, shares its work, outlives others' trouble, and says how it does."""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection, connections, transaction

from cachekit import hooks, outbox
from cachekit.models import Outbox, RelayState
from cachekit.outbox import standing
from cachekit.outbox.health import relay_of
from cachekit.outbox.relaying import Relay
from cachekit.stores import store_for
from cachekit.stores.beats import beats
from tests.outbox.bakery import boxed, loaf, relaying, until
from tests.servers import Valkey
from tests.zoo.builders import make_book
from tests.zoo.models import Book

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.mark.processes
def test_two_relays_share_the_work_and_stop_at_sigterm() -> None:
    first = loaf()
    with relaying() as one, relaying() as two:
        Outbox.objects.bulk_create(Outbox(tags=f"tag:{n}", aliases="") for n in range(600))
        boxed()
        assert until(lambda: not Outbox.objects.exists())
        assert loaf() != first
        assert until(lambda: len([beat for beat in beats(store_for("default")) if beat.kind == "command"]) == 2)
        call_command("cachekit", "relay", "--check")

        one.send_signal(signal.SIGTERM)
        assert one.wait(60) == 0
        boxed()
        assert until(lambda: not Outbox.objects.exists())
        two.send_signal(signal.SIGINT)
        assert two.wait(60) == 0
        told = [str(process.stdout and process.stdout.read()).splitlines()[-1] for process in (one, two)]

    delivered = [int(said.removeprefix("stopped; ").removesuffix(" delivered")) for said in told]
    assert sum(delivered) == 602
    assert beats(store_for("default")) == []
    with pytest.raises(CommandError, match="No relay has worked on"):
        call_command("cachekit", "relay", "--check")


@pytest.mark.processes
def test_a_relay_outlives_its_cache(own_valkey: Valkey, use_cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHEKIT_TEST_REDIS_URL", own_valkey.url)
    use_cache(own_valkey.url)
    with relaying() as process:
        own_valkey.kill()
        boxed()
        time.sleep(0.3)
        assert process.poll() is None
        assert relay_of("anywhere")[0] is False
        own_valkey.start()
        assert until(lambda: not Outbox.objects.exists())


def test_a_database_that_is_away_is_said_once_and_tried_less_and_less(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    relay = Relay(clock=lambda: now[0])
    relay.look()
    asked = []

    def away(*_: Any) -> None:
        asked.append(now[0])
        raise OperationalError("the server is gone")

    with caplog.at_level(logging.WARNING, "cachekit.relay"), connections["default"].execute_wrapper(away):
        for _ in range(100):
            now[0] += 0.05
            relay.look()
    said = [record.getMessage() for record in caplog.records]
    with caplog.at_level(logging.WARNING, "cachekit.relay"):
        now[0] += 1
        boxed()
        assert relay.look() == 1

    assert said == ["The outbox of database 'default' cannot be relayed: the server is gone"]
    assert 5 < len(asked) < 20
    assert "is relayed again, after" in caplog.records[-1].getMessage()


def test_a_signal_is_heeded_between_two_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachekit.outbox.delivering.PAGE", 2)
    stop = threading.Event()
    for n in range(6):
        boxed(f"tag:{n}")
    hooks.subscribe(hooks.Invalidated, listener := (lambda event: stop.set()))
    relay = Relay()
    try:
        relay.run(stop)
    finally:
        hooks.unsubscribe(hooks.Invalidated, listener)

    assert (relay.delivered, Outbox.objects.count()) == (2, 4)
    assert beats(store_for("default")) == []


def test_a_connection_that_was_ended_is_made_anew() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
    now = [0.0]
    relay = Relay(clock=lambda: now[0])
    relay.look()
    boxed()
    ended: Any = connection.connection
    with connections["other"].cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [ended.info.backend_pid])

    def told() -> int:
        now[0] += 1
        return relay.look()

    assert until(told)
    assert connection.connection is not ended
    assert not Outbox.objects.exists()


def test_each_look_is_told_to_who_listens() -> None:
    heard: list[hooks.Relayed] = []
    hooks.subscribe(hooks.Relayed, heard.append)
    boxed(), boxed()
    try:
        Relay().look()
    finally:
        hooks.unsubscribe(hooks.Relayed, heard.append)

    assert [(told.rows, told.waiting) for told in heard] == [(2, 0)]


def test_prometheus_hears_of_rows_and_lag() -> None:
    from prometheus_client import REGISTRY

    from cachekit import metrics

    before = (metrics.relay() and REGISTRY.get_sample_value("cachekit_relay_rows_total")) or 0
    metrics.feed_relay(hooks.Relayed(3, 2, 1.5))

    assert REGISTRY.get_sample_value("cachekit_relay_rows_total") == before + 3
    assert REGISTRY.get_sample_value("cachekit_relay_waiting_rows") == 2
    assert REGISTRY.get_sample_value("cachekit_relay_lag_seconds") == 1.5


def test_check_tells_of_a_relay_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = Relay()
    relay.look()
    host = relay._name.rpartition(":")[0]
    works, sentence = relay_of(host)
    monkeypatch.setattr("cachekit.outbox.health.DEAD", -1.0)
    dead, epitaph = relay_of(host)

    assert works
    assert sentence.endswith("0 rows wait.")
    assert not dead
    assert epitaph.endswith("It is dead or stands still.")
    assert relay_of("elsewhere") == (
        False,
        "No relay has worked on elsewhere (none elsewhere): run manage.py cachekit relay.",
    )


def test_a_relay_waits_for_nobody_who_is_at_it() -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("needs SKIP LOCKED")
    boxed(), outbox.relay("default")
    boxed()
    ready, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            RelayState.objects.select_for_update().get()
            ready.set()
            done.wait(60)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert ready.wait(60)

    busy = outbox.relay("default")
    done.set()
    holder.join(60)

    assert busy == 0
    assert outbox.relay("default") == 1


def test_a_relay_that_stands_still_in_a_page_loses_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
    boxed(), outbox.relay("default")
    boxed()
    monkeypatch.setattr("cachekit.outbox.standing.FROZEN", "300ms")
    found, ready, done = standing.of("default"), threading.Event(), threading.Event()
    lost: list[Exception] = []
    assert found is not None

    def stand_still() -> None:
        try:
            with transaction.atomic(), standing.counted(found):
                ready.set()
                done.wait(60)
        except DatabaseError as error:
            lost.append(error)
        connection.close()

    other = threading.Thread(target=stand_still)
    other.start()
    assert ready.wait(60)
    monkeypatch.undo()  # the other relay may be slow

    assert until(lambda: outbox.relay("default") == 1)
    done.set()
    other.join(60)
    assert lost


def test_writes_to_the_relays_own_tables_invalidate_nothing() -> None:
    make_book()
    heard: list[str] = []
    hooks.subscribe(hooks.Invalidated, listener := (lambda event: heard.extend(event.tags)))
    try:
        boxed("bread"), outbox.relay("default")
    finally:
        hooks.unsubscribe(hooks.Invalidated, listener)

    assert set(heard) == {"bread"}
    assert Book.objects.count() == 1
