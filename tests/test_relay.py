"""The relay: what it tells, what it remembers, and what it notices of databases and caches that went back in time."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection, connections, transaction

from cachekit import ainvalidate, cached, checks, hooks, invalidate, outbox
from cachekit.core.entry import seal, unseal
from cachekit.exceptions import StoreUnavailable
from cachekit.models import Outbox, RelayState, Told
from cachekit.outbox import standing
from cachekit.outbox.health import relay_of
from cachekit.outbox.relaying import Relay
from cachekit.outbox.standing import FORGOTTEN, OTHER, RESTORED, Standing, fault
from cachekit.stores import store_for
from cachekit.stores.beats import beats
from cachekit.stores.marks import Mark, attest, held_by, is_attested
from tests.servers import Valkey
from tests.zoo.builders import make_book
from tests.zoo.models import Book

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture(autouse=True)
def _two_caches(settings: Any) -> None:
    settings.CACHES = {name: settings.CACHES[name] for name in ("default", "memory")}


@cached(600, tags=("bread",))
def loaf() -> float:
    return time.perf_counter()


def boxed(*tags: str) -> Outbox:
    row: Outbox = Outbox.objects.create(tags="\n".join(tags or ("bread",)), aliases="")
    return row


def until(true: Callable[[], Any], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not (done := bool(true())) and time.monotonic() < deadline:
        time.sleep(0.02)
    return done


@contextmanager
def relaying(*words: str, code: str = "") -> Iterator[subprocess.Popen[str]]:
    """A relay as a project runs it, or one that does something else at some point."""
    command = ["-m", "django", "cachekit", "relay", *words]
    if code:
        command = ["-c", f"import django; django.setup()\n{code}"]
    with subprocess.Popen(
        [sys.executable, *command], env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            if not code:
                assert process.stdout.readline().startswith("relaying")
            yield process
        finally:
            process.kill()


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
        assert process.wait(30) == -9
    assert Outbox.objects.count() == 2

    assert until(lambda: outbox.relay("default") == 2)
    second = loaf()
    assert second != first
    outbox.relay("default")
    assert loaf() == second, "a mark that is one round ahead is no fault"


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
        assert one.wait(20) == 0
        boxed()
        assert until(lambda: not Outbox.objects.exists())
        two.send_signal(signal.SIGINT)
        assert two.wait(20) == 0
        told = [str(process.stdout and process.stdout.read()).splitlines()[-1] for process in (one, two)]

    delivered = [int(said.removeprefix("stopped; ").removesuffix(" delivered")) for said in told]
    assert sum(delivered) == 602
    assert beats(store_for("default")) == []
    with pytest.raises(CommandError, match="No relay has worked on"):
        call_command("cachekit", "relay", "--check")


@pytest.mark.processes
def test_a_relay_outlives_its_cache(own_valkey: Valkey, use_cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHEKIT_TEST_REDIS_URL", own_valkey.url)
    use_cache(own_valkey.url, OPTIONS={"SOCKET_TIMEOUT": 0.5, "SOCKET_CONNECT_TIMEOUT": 0.5})
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
            done.wait(20)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert ready.wait(10)

    busy = outbox.relay("default")
    done.set()
    holder.join(20)

    assert busy == 0
    assert outbox.relay("default") == 1


def test_a_relay_that_stands_still_in_a_page_loses_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
    monkeypatch.setattr("cachekit.outbox.standing.FROZEN", "300ms")
    boxed(), outbox.relay("default")
    boxed()
    found, ready, done = standing.of("default"), threading.Event(), threading.Event()
    lost: list[Exception] = []
    assert found is not None

    def stand_still() -> None:
        try:
            with transaction.atomic(), standing.counted(found):
                ready.set()
                done.wait(30)
        except DatabaseError as error:
            lost.append(error)
        connection.close()

    other = threading.Thread(target=stand_still)
    other.start()
    assert ready.wait(10)

    assert until(lambda: outbox.relay("default") == 1)
    done.set()
    other.join(20)
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


# Attestation


@pytest.fixture
def bounded(settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "MAX_STALENESS": 30}


def older(seconds: float) -> None:
    """Let a store's entries look as if they had been begun earlier."""
    store: Any = store_for("default")
    for key in store.client.keys("ck:e:*"):
        header, payload = unseal(store.client.get(key))
        assert header is not None
        store.client.set(key, seal(header._replace(oldest=header.oldest - int(seconds * 1_000_000)), payload))


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
    store, first = store_for("default"), loaf()
    with relaying() as process:
        assert until(lambda: is_attested(store))
        first = loaf()
        older(2)
        assert until(lambda: loaf() == first), "attested"
        process.kill()
        process.wait(10)
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


# Told again to a server that was restored or promoted


@pytest.fixture
def always(settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "OUTBOX": "always"}


@cached(600, tags=("butter",))
def butter() -> float:
    return time.perf_counter()


def promoted(state: dict[bytes, tuple[bytes, Any]]) -> None:
    """Let another server answer, which knows only what it was told until `state` was taken."""
    store: Any = store_for("default")
    server: Any = store.client
    for key in server.keys("{ck}:*"):
        server.delete(key)
    for key, dump in state.items():
        server.restore(key, 0, dump)
    server.hset(store.slot_key("root"), "server", "the-former-server")
    store.reset()


def kept_state() -> dict[bytes, Any]:
    server: Any = getattr(store_for("default"), "client", None)
    return {key: server.dump(key) for key in server.keys("{ck}:*")}


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
