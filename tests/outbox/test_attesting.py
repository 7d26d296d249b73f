"""Where no relay vouches for a server, only what is young is served."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connections

from cachekit import checks, outbox
from cachekit.outbox.relaying import Relay
from cachekit.stores import store_for
from cachekit.stores.marks import attest, is_attested
from tests.outbox.bakery import boxed, loaf, older, relaying, until

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def test_without_a_relay_only_what_is_young_is_served(bounded: None) -> None:
    first = loaf()
    assert loaf() == first

    older(31)

    assert loaf() != first


def test_where_a_relay_attests_the_old_is_served_too(bounded: None) -> None:
    first = loaf()
    older(31)

    Relay().look()

    assert loaf() == first
    assert is_attested(store_for("default"))


def test_an_attestation_of_another_server_is_none(bounded: None) -> None:
    first = loaf()
    older(31)
    Relay().look()
    store: Any = store_for("default")

    store.client.set(store.slot_key("attest"), "another", px=30_000)

    assert loaf() != first


def test_nothing_is_attested_to_a_server_that_lacks_a_round(bounded: None) -> None:
    boxed()
    relay = Relay()
    relay.look()
    store: Any = store_for("default")
    store.client.delete(store.slot_key("attest"))

    assert not attest(store, {"default": relay._standings["default"].caches["default"] + 1}, 30)  # type: ignore[union-attr]
    store.client.hset(store.slot_key("root"), "server", "another")
    assert not attest(store, {}, 30)
    assert not is_attested(store)


def test_nothing_is_attested_while_a_row_waits_or_a_database_is_away(bounded: None) -> None:
    boxed()

    def away(*_: Any) -> None:
        raise OperationalError("the server is gone")

    with connections["other"].execute_wrapper(away):
        Relay().look()

    assert not is_attested(store_for("default"))


@pytest.mark.processes
def test_the_bound_holds_when_the_relay_is_killed(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "MAX_STALENESS": 1}
    monkeypatch.setenv("CACHEKIT_TEST_MAX_STALENESS", "1")
    store = store_for("default")

    def serves_the_old() -> bool:
        fresh = loaf()
        older(2)
        return loaf() == fresh

    with relaying() as process:
        assert until(serves_the_old), "attested"
        first = loaf()
        older(2)
        process.kill()
        process.wait(60)
        assert until(lambda: not is_attested(store))
        second = loaf()
    with relaying():
        assert until(lambda: is_attested(store))

    assert second != first


def test_w002_entries_are_bounded_by_a_relay_that_nobody_runs(bounded: None, settings: Any) -> None:
    (none,) = checks.check_relay(app_configs=None)
    outbox.relay_all()
    (beat,) = checks.check_relay(app_configs=None)
    Relay().look()

    assert none.id == beat.id == "cachekit.W002"
    assert none.hint == "Run manage.py cachekit relay."
    assert "only Celery's beat relays" in beat.msg
    assert checks.check_relay(app_configs=None) == []
