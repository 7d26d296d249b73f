"""A COMMIT that surely changed nothing takes its intents back; one of which nobody knows leaves them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from psycopg import errors

from cachekit import cached, hooks
from cachekit.orm.refusals import is_refusal
from tests.making import hearing
from tests.zoo.builders import make_book
from tests.zoo.models import Author, Book


def raised(kind: type[Exception], cause: Exception | None) -> Exception:
    """Return Django's error for a driver's."""
    error = kind()
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("state", "refused"),
    [
        ("40001", True),
        ("40P01", True),
        ("25P02", True),
        ("23514", True),
        ("P0001", True),
        ("40003", False),
        ("08006", False),
        ("57P01", False),
    ],
)
def test_postgresql_says_what_it_has_rolled_back(state: str, refused: bool) -> None:
    assert is_refusal(raised(OperationalError, errors.lookup(state)())) is refused


def test_an_error_without_a_code_says_nothing() -> None:
    silent = errors.OperationalError("server closed the connection unexpectedly")

    assert [is_refusal(raised(DatabaseError, one)) for one in (silent, None)] == [False, False]
    assert not is_refusal(ValueError())
    assert is_refusal(IntegrityError())


def test_a_locked_sqlite_has_written_nothing(tmp_path: Path) -> None:
    writer, reader = (sqlite3.connect(tmp_path / "db", isolation_level=None, timeout=0) for _ in range(2))
    writer.execute("CREATE TABLE t (n)")
    writer.execute("INSERT INTO t VALUES (1), (2)")
    unfinished = reader.execute("SELECT n FROM t")
    unfinished.fetchone()
    writer.execute("BEGIN")
    writer.execute("INSERT INTO t VALUES (3)")

    with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
        writer.execute("COMMIT")

    assert is_refusal(raised(OperationalError, caught.value))
    for one in (writer, reader):
        one.close()


@cached(600)
def title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_after_a_conflict_of_serializable_transactions_results_are_kept_at_once() -> None:
    import psycopg

    book, known = make_book(title="old"), connection.get_connection_params()
    names = ("host", "port", "user", "dbname")
    with psycopg.connect(**{name: known[name] for name in names}) as other:
        other.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        with pytest.raises(OperationalError) as caught, transaction.atomic():  # noqa: PT012 - its end is what raises
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            assert Author.objects.count() == 1
            other.execute("SELECT * FROM zoo_book")
            Book.objects.filter(pk=book.pk).update(title="new")
            other.execute("UPDATE zoo_author SET name = 'x'")
            other.commit()

    assert getattr(caught.value.__cause__, "sqlstate", "") == "40001"
    with hearing(hooks.Lookup) as heard:
        assert [title(book.pk), title(book.pk)] == ["old", "old"]
    assert [event.result for event in heard] == ["miss", "hit"]
