"""A server that was restored or promoted is told again what it missed, where all of it stands in the outbox."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import connection, transaction

from cachekit import ainvalidate, checks, hooks, invalidate, outbox
from cachekit.exceptions import StoreUnavailable
from cachekit.models import Outbox, Told
from cachekit.outbox.relaying import Relay
from cachekit.stores import store_for
from tests.making import hearing
from tests.outbox.bakery import boxed, butter, kept_state, loaf, promoted, until
from tests.servers import Valkey
from tests.twins import Call

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def test_a_server_that_was_promoted_is_told_what_it_missed_and_keeps_the_rest(always: None) -> None:
    relay = Relay()
    relay.look()
    boxed("early"), relay.look()
    bread, spread = loaf(), butter()
    state = kept_state()
    boxed("bread"), boxed("other"), relay.look()
    assert loaf() != bread
    bread = loaf()

    promoted(state)
    with pytest.raises(StoreUnavailable, match="must tell it first what it has missed"):
        store_for("default").load("anything")
    outbox.relay("default")
    store_for("default").reset()

    assert butter() == spread, "kept"
    assert loaf() != bread, "told again"
    assert Told.objects.filter(tags="bread").exists()


def test_a_server_that_missed_nothing_keeps_everything(always: None) -> None:
    relay = Relay()
    relay.look()
    bread = loaf()
    boxed("early"), relay.look()

    promoted(kept_state())
    outbox.relay("default")
    store_for("default").reset()

    assert loaf() == bread


def test_what_is_no_longer_kept_costs_a_new_epoch(
    always: None, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    relay = Relay()
    relay.look()
    boxed("early"), relay.look()
    spread, state = butter(), kept_state()
    boxed("bread"), relay.look()
    settings.CACHEKIT = {**settings.CACHEKIT, "OUTBOX_RETENTION": 0}
    Relay().look(), Relay().look()
    assert not Told.objects.exists()

    promoted(state)
    with caplog.at_level(logging.WARNING, "cachekit.relay"):
        outbox.relay("default")
    store_for("default").reset()

    assert butter() != spread
    assert "is not known any more" in caplog.text


def test_without_always_another_server_is_a_new_epoch_at_once() -> None:
    Relay().look()
    spread = butter()

    promoted(kept_state())

    assert butter() != spread
    assert not Told.objects.exists()


def test_an_invalidation_by_hand_passes_through_the_outbox(always: None) -> None:
    invalidate("bread")

    assert [row.tags for row in Outbox.objects.all()] == ["bread"]


async def test_so_does_an_awaited_one(always: None) -> None:
    await ainvalidate("bread")

    assert [row.tags async for row in Outbox.objects.all()] == ["bread"]


def told_again() -> list[str]:
    """Relay, and return the caches that it told of bread."""
    with hearing(hooks.Invalidated) as heard:
        outbox.relay("default")
    assert not Outbox.objects.exists()
    return sorted(event.alias for event in heard if "bread" in event.tags)


def test_what_a_server_was_told_by_hand_the_relay_does_not_tell_it_again(always: None, call: Call) -> None:
    call(invalidate, "bread")

    assert told_again() == ["memory"]
    assert [row.tags for row in Told.objects.all()] == ["bread"]


def test_a_cache_that_was_not_told_by_hand_is_told_by_the_relay(always: None) -> None:
    outbox.record(["bread"])

    assert told_again() == ["default", "memory"]


def test_what_is_invalidated_inside_a_transaction_is_told_by_the_relay_too(always: None) -> None:
    with transaction.atomic():
        invalidate("bread")

    assert told_again() == ["default", "memory"]


@pytest.mark.processes
def test_a_restart_with_a_log_keeps_the_cache(settings: Any, use_cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "OUTBOX": "always"}
    with Valkey("--appendonly", "yes", "--appendfsync", "always") as server:
        use_cache(server.url)
        relay = Relay()
        relay.look()
        bread, spread = loaf(), butter()
        server.kill()
        server.start()
        boxed("bread")
        assert until(lambda: relay.look() == 1)
        store_for("default").reset()

        assert butter() == spread
        assert loaf() != bread


def test_e002_and_w003_always_wants_triggers(always: None, settings: Any) -> None:
    (found,) = checks.check_triggers(app_configs=None, databases=["default"])
    settings.CACHEKIT = {"OUTBOX": "sometimes"}
    (wrong,) = checks.check_outbox(app_configs=None)

    assert found.id == "cachekit.W003"
    assert ("have no triggers" if connection.vendor == "postgresql" else "is not PostgreSQL") in found.msg
    assert wrong.id == "cachekit.E002"
    assert checks.check_triggers(app_configs=None, databases=["default"]) == []
