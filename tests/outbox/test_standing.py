"""What has been told is counted in rounds, so that databases and caches that went back in time are noticed."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import connection

from cachekit import outbox
from cachekit.models import Outbox, RelayState
from cachekit.outbox.relaying import Relay
from cachekit.outbox.standing import FORGOTTEN, OTHER, RESTORED, Standing, fault
from cachekit.stores import store_for
from cachekit.stores.marks import Mark, held_by
from tests.outbox.bakery import boxed, loaf, relaying, until

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def test_what_is_told_is_marked_in_the_cache() -> None:
    boxed(), boxed()

    assert outbox.relay("default") == 2

    mark, state = held_by(store_for("default"), "default"), RelayState.objects.get()
    assert mark is not None
    assert mark.told == state.rounds == state.caches["default"] == 1
    assert mark.database.startswith(state.identity)
    if connection.vendor == "postgresql":
        cluster, timeline = mark.database.removeprefix(state.identity).lstrip("/").split("/")
        assert int(cluster) > 0
        assert timeline == "00000001"


STANDING = Standing("default", "this", 5, {"c": 4})


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (Mark("this", 4, 4), ""),
        (Mark("this", 6, 5), ""),  # a relay died after it had told and before it had committed
        (Mark("this", 6, 6), RESTORED),
        (Mark("this", 3, 3), FORGOTTEN),
        (Mark("that", 4, 4), OTHER),
        (None, FORGOTTEN),
    ],
)
def test_a_mark_says_what_has_gone_back_in_time(held: Mark | None, reason: str) -> None:
    assert fault(held, STANDING, "c") == reason
    assert fault(None, STANDING, "new") == ""


def test_an_older_database_makes_everything_stale(caplog: pytest.LogCaptureFixture) -> None:
    boxed()
    outbox.relay("default")
    backup = RelayState.objects.values().get()
    boxed()
    outbox.relay("default")
    outbox.relay("default")
    first = loaf()

    RelayState.objects.update(**{name: backup[name] for name in ("identity", "rounds", "caches")})
    with caplog.at_level(logging.WARNING, "cachekit.relay"):
        outbox.relay("default")

    assert loaf() != first
    assert "an older state has been restored of database 'default'" in caplog.text
    again = loaf()
    outbox.relay("default")
    assert loaf() == again, "once, not at every look"


def test_another_database_makes_everything_stale() -> None:
    boxed()
    outbox.relay("default")
    first = loaf()

    RelayState.objects.update(identity="another")
    outbox.relay("default")

    assert loaf() != first


def test_a_cache_that_forgot_a_round_forgets_everything_before_it_is_told_more() -> None:
    store: Any = store_for("default")
    boxed(), outbox.relay("default")
    key = store.slot_key("relay:default")
    old = store.client.hgetall(key)
    boxed(), outbox.relay("default")
    first = loaf()

    store.client.hset(key, mapping=old)
    boxed("butter")
    assert outbox.relay("default") == 1

    assert loaf() != first
    assert not Outbox.objects.exists()


def test_idle_rounds_are_counted_so_that_an_old_state_shows() -> None:
    times = iter(range(0, 1000, 11))
    relay = Relay(clock=lambda: float(next(times)))
    relay.look(), relay.look()

    assert RelayState.objects.get().rounds >= 2


def test_a_relay_killed_in_the_middle_of_a_page_leaves_it_to_the_next() -> None:
    first = loaf()
    boxed(), boxed("butter")
    code = (
        "import os\nfrom cachekit.outbox import delivering, relay\n"
        "real = delivering._counted_for\n"
        "def kill(turn, alias):\n    real(turn, alias)\n    os.kill(os.getpid(), 9)\n"
        "delivering._counted_for = kill\nrelay('default')\n"
    )
    with relaying(code=code) as process:
        assert process.wait(60) == -9
    assert Outbox.objects.count() == 2

    assert until(lambda: outbox.relay("default") == 2)
    second = loaf()
    assert second != first
    outbox.relay("default")
    assert loaf() == second, "a mark that is one round ahead is no fault"
