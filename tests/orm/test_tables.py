"""Tables that no model has: plain ones are told by their own name, and hurt nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connection, connections
from django.test.utils import override_settings

from cachekit import cached, hooks
from cachekit.models import AppliedBatch, Outbox
from cachekit.orm import tables
from cachekit.orm.sqltext import Table
from tests.zoo.builders import make_book
from tests.zoo.models import Author, Book

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
WHOLE_DATABASE = {"db:default"}


def say(sql: str, using: str = "default") -> Any:
    with connections[using].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


def told(act: Callable[[], Any]) -> set[str]:
    """Return the tags that a write tells."""
    seen: set[str] = set()
    hooks.subscribe(hooks.Invalidated, listener := (lambda event: seen.update(event.tags)))
    try:
        act()
    finally:
        hooks.unsubscribe(hooks.Invalidated, listener)
    return seen


def results(read: Callable[[], Any]) -> list[str]:
    """Tell how reads were answered: hit, miss, ..."""
    seen: list[str] = []
    hooks.subscribe(hooks.Lookup, listener := (lambda event: seen.append(event.result)))
    try:
        read()
    finally:
        hooks.unsubscribe(hooks.Lookup, listener)
    return seen


@cached(600)
def titles() -> list[str]:
    return list(Book.objects.order_by("pk").values_list("title", flat=True))


@pytest.fixture
def lone() -> Iterator[str]:
    """A table without a model, and things made around it, which are dropped."""
    drop()
    say("CREATE TABLE lone (x integer PRIMARY KEY)")
    yield "lone"
    drop()


def drop() -> None:
    for kind, name in (("VIEW", "lone_view"), ("TABLE", "lone_child"), ("TABLE", "lone"), ("TABLE", "lone_cache")):
        say(f"DROP {kind} IF EXISTS {name}")
    tables.forget()


def test_a_write_to_a_table_without_a_model_tells_that_table_alone(lone: str) -> None:
    make_book()
    titles()

    assert told(lambda: say("INSERT INTO lone VALUES (1)")) == {"table:lone"}
    assert told(lambda: say('UPDATE "lone" SET x = 2')) == {"table:lone"}
    assert told(lambda: say("DELETE FROM LONE")) == {"table:lone"}

    assert results(titles) == ["hit"]


def test_a_read_of_it_is_kept_until_it_is_written(lone: str) -> None:
    @cached(600)
    def rows() -> list[int]:
        return [x for (x,) in say("SELECT x FROM lone")]

    assert rows() == []
    assert results(rows) == ["hit"]
    say("INSERT INTO lone VALUES (7)")
    assert rows() == [7]
    Author.objects.create(name="another")
    assert results(rows) == ["hit"]


def test_another_databases_table_is_another() -> None:
    say("CREATE TABLE IF NOT EXISTS lone (x integer)", using="other")
    try:
        assert told(lambda: say("DELETE FROM lone", using="other")) == {"table:lone@other"}
    finally:
        say("DROP TABLE lone", using="other")


def test_a_table_that_is_there_no_more_or_not_yet_is_not_believed(lone: str) -> None:
    assert told(lambda: say("DELETE FROM lone")) == {"table:lone"}

    say("DROP TABLE lone")
    say("CREATE VIEW lone_view AS SELECT 1 AS x")
    say("CREATE VIEW lone AS SELECT title AS x FROM zoo_book")

    try:
        assert tables.family_of(Table("lone"), connection) is None
    finally:
        say("DROP VIEW lone")


def test_a_read_through_a_view_without_a_model_is_not_kept(lone: str) -> None:
    make_book("one")
    say("CREATE VIEW lone_view AS SELECT title FROM zoo_book")

    @cached(600)
    def through() -> list[str]:
        return [title for (title,) in say("SELECT title FROM lone_view")]

    assert through() == ["one"]
    Book.objects.update(title="two")
    assert through() == ["two"]


def test_a_table_whose_rows_take_others_with_them_is_the_database(lone: str) -> None:
    say("CREATE TABLE lone_child (x integer REFERENCES lone (x) ON DELETE CASCADE)")

    assert told(lambda: say("DELETE FROM lone")) == WHOLE_DATABASE
    assert told(lambda: say("DELETE FROM lone_child")) == {"table:lone_child"}


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="how SQLite makes triggers")
def test_a_table_with_a_trigger_is_the_database_on_sqlite(lone: str) -> None:
    say("CREATE TRIGGER lone_trigger AFTER INSERT ON lone BEGIN UPDATE zoo_book SET title = 'new'; END")

    assert told(lambda: say("INSERT INTO lone VALUES (1)")) == WHOLE_DATABASE


@pytest.mark.postgres
@pytest.mark.parametrize(
    "made",
    [
        "CREATE RULE extra AS ON INSERT TO lone DO ALSO DELETE FROM zoo_book",
        "CREATE TABLE lone_child () INHERITS (lone)",
        "CREATE TRIGGER lone_trigger AFTER INSERT ON lone EXECUTE FUNCTION lone_function()",
    ],
)
def test_a_table_that_reaches_further_is_the_database_on_postgresql(lone: str, made: str) -> None:
    say(
        "CREATE OR REPLACE FUNCTION lone_function() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN DELETE FROM zoo_book; RETURN NULL; END'"
    )
    say(made)

    assert told(lambda: say("INSERT INTO lone VALUES (1)")) == WHOLE_DATABASE


@pytest.mark.postgres
def test_a_models_table_in_another_schema_tells_the_model() -> None:
    say("CREATE SCHEMA IF NOT EXISTS beside")
    say("CREATE TABLE IF NOT EXISTS beside.zoo_book (LIKE zoo_book)")
    try:
        assert told(lambda: say("DELETE FROM beside.zoo_book")) == {"zoo.book", "zoo.book#*", "zoo.book?*"}

        @cached(600)
        def counted() -> int:
            return int(say("SELECT count(*) FROM beside.zoo_book")[0][0])

        counted()
        assert results(counted) == ["miss"]
    finally:
        say("DROP SCHEMA beside CASCADE")


def test_a_cache_in_the_database_hurts_nobody() -> None:
    drop()
    make_book()
    titles()
    table = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "lone_cache"}
    say(
        "CREATE TABLE lone_cache (cache_key varchar(255) PRIMARY KEY, value text NOT NULL,"
        " expires timestamp with time zone NOT NULL)"
    )
    from django.conf import settings

    try:
        with override_settings(CACHES={**settings.CACHES, "table": table}):
            titles()
            assert told(lambda: caches["table"].set("a", 1)) == {"table:lone_cache"}
            assert caches["table"].get("a") == 1
            assert results(titles) == ["hit"]
    finally:
        drop()


def test_cachekits_own_tables_invalidate_nothing() -> None:
    def write() -> None:
        AppliedBatch.objects.create(batch="b", counter="c", rows=1)
        AppliedBatch.objects.update(rows=2)
        say("UPDATE cachekit_appliedbatch SET rows = 3")
        AppliedBatch.objects.all().delete()
        Outbox.objects.filter(pk=0).delete()

    assert told(write) == set()


def test_what_reads_them_is_not_kept() -> None:
    @cached(600)
    def waiting() -> int:
        return Outbox.objects.count()

    waiting()
    assert results(waiting) == ["miss"]
