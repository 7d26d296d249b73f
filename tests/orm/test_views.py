"""Models over views of the database say what they are made of, and what the database deletes by itself is told too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, models, transaction

from cachekit import cached, checks, hooks, registry
from tests.zoo import models as zoo
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book, Digest, Output, Tag

pytestmark = pytest.mark.django_db(transaction=True)
COUNTING = "SELECT a.id AS author_id, count(b.id) AS books FROM zoo_author a"
COUNTING += " LEFT JOIN zoo_book b ON b.author_id = a.id GROUP BY a.id"


def say(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


def results(read: Callable[[], Any]) -> list[str]:
    """Tell how reads were answered: hit, miss, ..."""
    seen: list[str] = []
    hooks.subscribe(hooks.Lookup, listener := (lambda event: seen.append(event.result)))
    try:
        read()
    finally:
        hooks.unsubscribe(hooks.Lookup, listener)
    return seen


@pytest.fixture
def view() -> Iterator[None]:
    """The view of `Output`."""
    say("DROP VIEW IF EXISTS zoo_output")
    say(f"CREATE VIEW zoo_output AS {COUNTING}")
    yield
    say("DROP VIEW zoo_output")


def by_orm() -> list[int]:
    return sorted(Output.objects.values_list("books", flat=True))


def by_row() -> list[int]:
    return [one.books for one in Output.objects.filter(pk=Author.objects.get().pk)]


def by_join() -> list[str]:
    return list(Output.objects.filter(books__gt=0).values_list("author__name", flat=True))


def by_sql() -> list[int]:
    return sorted(books for (books,) in say("SELECT books FROM zoo_output"))


@pytest.mark.usefixtures("view")
@pytest.mark.parametrize("read", [by_orm, by_row, by_join, by_sql])
def test_a_view_is_stale_when_what_it_is_made_of_was_written(read: Callable[[], Any]) -> None:
    author = make_author("Ada")
    kept = cached(600, name=f"views.{read.__name__}")(read)
    assert kept() == read()

    Book.objects.create(title="one", author=author)
    assert kept() == read()
    Tag.objects.create(name="red")
    assert results(kept) == ["hit"]
    Author.objects.update(name="Bob")
    assert kept() == read()


@pytest.mark.usefixtures("view")
def test_in_a_transaction_that_wrote_it_is_read_from_the_database() -> None:
    author = make_author("Ada")
    kept = cached(600, name="views.inside")(by_orm)
    assert kept() == [0]

    with transaction.atomic():
        Book.objects.create(title="one", author=author)
        assert kept() == [1]


@pytest.mark.postgres
def test_a_materialized_view_is_stale_when_it_was_refreshed() -> None:
    say(f"CREATE MATERIALIZED VIEW zoo_digest AS {COUNTING}")
    try:
        kept = cached(600, name="views.digest")(lambda: list(Digest.objects.values_list("books", flat=True)))
        assert kept() == []
        make_book("one")
        assert results(kept) == ["hit"]

        say("REFRESH MATERIALIZED VIEW zoo_digest")

        assert kept() == [1]
    finally:
        say("DROP MATERIALIZED VIEW zoo_digest")


@pytest.mark.parametrize(("named", "wrong"), [("zoo.Author", "must be a tuple"), (("zoo.Nobody",), "'zoo.Nobody'")])
def test_a_view_of_what_there_is_not_is_a_check(monkeypatch: pytest.MonkeyPatch, named: Any, wrong: str) -> None:
    monkeypatch.setattr(Output, "CACHEKIT_DEPENDS_ON", named)
    registry.depends_on.cache_clear()
    try:
        (error,) = checks.check_indexes(app_configs=None)

        assert error.id == "cachekit.E007"
        assert wrong in error.msg
        with pytest.raises(ImproperlyConfigured, match="CACHEKIT_DEPENDS_ON"):
            registry.depends_on(Output)
    finally:
        monkeypatch.undo()
        registry.depends_on.cache_clear()


@pytest.mark.skipif(not hasattr(models, "DB_CASCADE"), reason="Django 6.1 lets the database cascade")
@pytest.mark.parametrize(
    "delete",
    [
        lambda crate: crate.delete(),
        lambda crate: type(crate).objects.filter(name="full").delete(),
        lambda crate: type(crate).objects.all()._raw_delete("default"),
        lambda crate: say("DELETE FROM zoo_crate"),
    ],
    ids=["delete", "queryset", "raw delete", "sql"],
)
def test_what_the_database_deletes_by_itself_is_told(delete: Callable[[Any], Any]) -> None:
    crates: Any = vars(zoo)
    crate = crates["Crate"].objects.create(name="full")
    bottle = crates["Bottle"].objects.create(crate=crate)
    crates["Label"].objects.create(bottle=bottle)
    crates["Taster"].objects.create(bottle=bottle)
    reads = {
        name: cached(600, name=f"cascade.{name}")(lambda model=crates[name]: model.objects.count())
        for name in ("Crate", "Bottle", "Label")
    }
    drinking = cached(600, name="cascade.drinking")(
        lambda: crates["Taster"].objects.filter(bottle__isnull=False).count()
    )
    assert [read() for read in reads.values()] == [1, 1, 1]
    assert drinking() == 1

    delete(crate)

    assert [read() for read in reads.values()] == [0, 0, 0]
    assert drinking() == 0
