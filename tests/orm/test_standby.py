"""A real replica, a hot standby of PostgreSQL that stands still, is gone, is promoted: nothing stale comes of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from cachekit import CachedQuerySet, cached
from cachekit.core.steps import Begin
from cachekit.outbox.relaying import Relay
from cachekit.stores import store_for
from tests.environment import Environment
from tests.patience import until
from tests.servers import Standby
from tests.zoo.builders import make_book
from tests.zoo.kept import Sheet
from tests.zoo.models import Book

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True, databases=["default", "other"])]

LAG = 3600
"""Seconds: so far behind is what a test can do to a standby in its own time, on the slowest machine."""


REPLICA = "other"
"""The alias that leads to the standby here: Django lets tests use no other."""


class ToStandby:
    """Sends every read to the standby."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return REPLICA

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True


@pytest.fixture(scope="module")
def server(environment: Environment) -> Iterator[Standby]:
    """A standby of the session's PostgreSQL."""
    if environment.postgres is None:
        pytest.skip("needs PostgreSQL: CACHEKIT_TEST_DATABASE=postgres")
    with Standby(environment.postgres) as server:
        yield server


@pytest.fixture
def standby(server: Standby, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standby]:
    """The standby, which has all that is committed and to which all reads are routed."""
    yield from routed(server, settings, monkeypatch)
    server.go_on()


def routed(server: Standby, settings: Any, monkeypatch: pytest.MonkeyPatch, lag: float = LAG) -> Iterator[Standby]:
    server.go_on()
    connections[REPLICA].close()
    led = connections[REPLICA].settings_dict
    settings.CACHEKIT = {**settings.CACHEKIT, "REPLICAS": {REPLICA: {"of": "default", "lag": lag}}}
    settings.DATABASE_ROUTERS = [ToStandby()]
    with monkeypatch.context() as patched:
        patched.setitem(led, "PORT", str(server.port))
        patched.setitem(led, "NAME", connection.settings_dict["NAME"])
        yield server
        connections[REPLICA].close()


@cached(600)
def title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


@cached(600)
async def awaited_title(pk: int) -> str:
    return (await sync_to_async(Book.objects.get)(pk=pk)).title


@cached(600, near=True)
def near_title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


@cached(600)
def page(pk: int) -> list[str]:
    return [title(pk), Book.objects.get(pk=pk).title]


def queried(pk: int) -> str:
    return str(CachedQuerySet(Book).cached(600).filter(pk=pk).values_list("title", flat=True)[0])


def counted(pk: int) -> str:
    return "new" if CachedQuerySet(Book).cached(600).filter(pk=pk, title="new").exists() else "old"


BOOKS: dict[str, Callable[[int], str]] = {
    "called": title,
    "awaited": async_to_sync(awaited_title),
    "near": near_title,
    "page": lambda pk: "".join(sorted(set(page(pk)))),
    "query": queried,
    "exists": counted,
}
ROWS: dict[str, Callable[[int], str]] = {
    "row": lambda pk: Sheet.objects.get(pk=pk).title,
    "awaited row": lambda pk: async_to_sync(Sheet.objects.aget)(pk=pk).title,
    "rows": lambda pk: Sheet.objects.in_bulk([pk])[pk].title,
}


def long_ago(standby: Standby) -> None:
    """Have the standby show all that is committed, and this process know a read point of now from before its lag."""
    standby.go_on()
    store: Any = store_for("default")
    begun = store.do(Begin(""))
    store.samples.forget()
    store.samples.note(time.monotonic() - 2 * LAG, begun.epoch, begun.read_point)


def asked(function: Callable[[], Any]) -> list[int]:
    """Return how many queries primary and standby were asked."""
    with CaptureQueriesContext(connection) as primary, CaptureQueriesContext(connections[REPLICA]) as replica:
        function()
    return [len(primary), len(replica)]


def seen(pks: dict[str, int]) -> dict[str, str]:
    return {name: (BOOKS.get(name) or ROWS[name])(pk) for name, pk in pks.items()}


def things() -> dict[str, int]:
    """Return a row of its own for each way to read one."""
    books = {name: make_book("old").pk for name in BOOKS}
    return books | {name: Sheet.objects.create(title="old").pk for name in ROWS}


def renamed(pks: dict[str, int], to: str) -> None:
    for name, pk in pks.items():
        (Book if name in BOOKS else Sheet)._base_manager.using("default").filter(pk=pk).update(title=to)


def test_a_standby_that_stands_still_leaves_nothing_stale(standby: Standby) -> None:
    left, written = things(), things()
    long_ago(standby)
    standby.stand_still()
    renamed(written, "new")

    assert asked(lambda: seen(left))[1] > 0, "what nobody has written is read from the standby"
    assert set(seen(left).values()) == {"old"}
    assert set(seen(written).values()) == {"new"}, "acknowledged, though the standby has not got it"
    renamed(left, "new")
    assert set(seen(left).values()) == {"new"}, "what was kept of it is stale at once"
    assert Book.objects.filter(title="new").count() == 0, "it stands still, and outside of doors it is read"

    standby.go_on()
    assert asked(lambda: seen(left | written))[0] <= len(ROWS), "kept: only what is fetched in bulk asks the primary"
    assert set(seen(left | written).values()) == {"new"}


def test_what_it_showed_before_it_had_a_write_is_not_kept_though_it_has_it_when_asked_again(standby: Standby) -> None:
    book = make_book("old")
    long_ago(standby)
    standby.stand_still()

    @cached(600, name="while")
    def slow() -> str:
        found = Book.objects.get(pk=book.pk).title
        if not rounds:
            rounds.append(found)
            renamed({"called": book.pk}, "new")  # committed and acknowledged while we compute from the old row
            standby.go_on()
        return found

    rounds: list[str] = []
    assert slow() == "new"
    assert rounds == ["old"]
    assert slow() == "new"


def test_a_transaction_on_the_standby_hands_out_its_snapshot_and_keeps_it_for_nobody(standby: Standby) -> None:
    book = make_book("old")
    long_ago(standby)

    @cached(600, name="there")
    def there() -> str:
        return Book.objects.using(REPLICA).get(pk=book.pk).title

    with transaction.atomic(using=REPLICA):
        with connections[REPLICA].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert Book.objects.using(REPLICA).count() == 1
        renamed({"called": book.pk}, "new")
        standby.go_on()
        assert there() == "old", "as asked: of this transaction's snapshot"

    assert there() == "new"


def test_a_standby_that_is_gone_takes_only_what_nobody_knows_along(standby: Standby) -> None:
    known, changed, unknown = make_book("old"), make_book("old"), make_book("old")
    long_ago(standby)
    assert title(known.pk) == title(changed.pk) == "old"
    renamed({"called": changed.pk}, "new")

    standby.kill()
    try:
        assert title(known.pk) == "old"
        assert title(changed.pk) == "new", "what has changed since is read from the primary anyway"
        connections[REPLICA].close()
        with pytest.raises(OperationalError):
            title(unknown.pk)
        renamed({"called": unknown.pk}, "new")
    finally:
        standby.start()
    connections[REPLICA].close()

    standby.go_on()
    assert title(unknown.pk) == "new"
    assert title(known.pk) == "old"


def test_a_standby_that_each_commit_waits_for_may_have_no_lag(
    server: Standby, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, primary = make_book("0"), server.primary
    primary.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{server.name}'")
    primary.ask("SELECT pg_reload_conf()")
    try:
        until(lambda: primary.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"))
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = remote_apply")
        for _ in routed(server, settings, monkeypatch, lag=0):
            for n in range(1, 30):
                renamed({"called": book.pk}, str(n))
                assert asked(partial(title, book.pk))[0] == 0
                assert title(book.pk) == str(n)
    finally:
        connection.close()
        primary.ask("ALTER SYSTEM RESET synchronous_standby_names")
        primary.ask("SELECT pg_reload_conf()")


def test_a_standby_that_is_promoted_makes_what_it_never_had_stale(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    pk = make_book("old").pk
    times = iter(range(0, 10_000, 11))
    with Standby(environment.postgres) as successor:  # type: ignore[arg-type]
        relay = Relay(clock=lambda: float(next(times)))
        relay.look(), relay.look()
        successor.cut_off()
        renamed({"called": pk}, "lost")
        assert title(pk) == "lost"

        place = connection.settings_dict["PORT"]
        try:
            successor.promote()
            connection.close()
            connection.settings_dict["PORT"] = str(successor.port)
            with caplog.at_level(logging.WARNING, "cachekit.relay"):
                relay.look(), relay.look()
            assert title(pk) == "old"
        finally:
            connection.close()
            connection.settings_dict["PORT"] = place
    assert "another timeline" in caplog.text
