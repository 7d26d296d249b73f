"""Functions of the database that write, and transactions that the database ends or begins in ways of its own."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connection, transaction
from django.db.models import Func, TextField
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast

from cachekit import cached
from cachekit.orm import routines
from tests.orm.test_rawsql import names, result, say, title
from tests.orm.test_transactions import elsewhere
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Tag

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def test_the_source_of_a_function_tells_whether_it_may_write() -> None:
    bodies = {
        "harmless": "LANGUAGE sql AS 'SELECT 1'",
        "counts": "LANGUAGE plpgsql AS 'DECLARE n int; BEGIN SELECT count(*) INTO n FROM zoo_book; RETURN n; END'",
        "removes": "LANGUAGE plpgsql AS 'BEGIN DELETE FROM zoo_tag; RETURN 1; END'",
        "calls": "LANGUAGE plpgsql AS 'BEGIN RETURN removes(); END'",
        "says": "LANGUAGE plpgsql AS 'BEGIN EXECUTE $1; RETURN 1; END'",
    }
    for name, body in bodies.items():
        say(f"CREATE OR REPLACE FUNCTION {name}() RETURNS int {body}")

    writing = {name for name in bodies if routines.writes(connection, frozenset({name}))}

    assert writing == {"removes", "calls", "says"}


def test_a_function_that_another_session_has_replaced_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "CREATE OR REPLACE FUNCTION changes() RETURNS int LANGUAGE plpgsql AS 'BEGIN {} RETURN 1; END'"
    say(body.format(""))
    asked = frozenset({"changes"})
    assert not routines.writes(connection, asked)

    connection.connection.execute(body.format("DELETE FROM zoo_tag;"))  # past cachekit, as by another process
    now = time.monotonic()
    monkeypatch.setattr(routines, "time", SimpleNamespace(monotonic=lambda: now + routines.KEPT_SECONDS + 1))

    assert routines.writes(connection, asked)
    monkeypatch.setattr(routines, "_until", 0.0)


@pytest.mark.parametrize(
    "calls",
    [
        lambda: list(Author.objects.annotate(n=Func(function="relabel", output_field=TextField())).values("n")),
        lambda: Author.objects.update(email=Cast(Func(function="relabel", output_field=TextField()), TextField())),
        lambda: list(Author.objects.annotate(n=RawSQL("relabel()", ())).values("n")),
    ],
    ids=["annotated", "updated", "raw part"],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_function_that_writes_is_seen_where_the_orm_calls_it(calls: Any, together: bool) -> None:
    say(
        "CREATE OR REPLACE FUNCTION relabel() RETURNS text LANGUAGE sql AS "
        "'UPDATE zoo_tag SET name = ''renamed'' RETURNING name'"
    )
    Tag.objects.create(name="old")
    make_author()
    tags = cached(600, name="tags")(lambda: list(Tag.objects.values_list("name", flat=True)))
    assert tags() == ["old"]

    with transaction.atomic() if together else nullcontext():
        calls()

    assert tags() == ["renamed"]


def test_a_transaction_that_follows_on_another_is_one_of_its_own() -> None:
    book = make_book("old")
    title(book.pk)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE zoo_book SET title = 'new'")
        cursor.execute("COMMIT AND CHAIN")
        cursor.execute("UPDATE zoo_book SET title = 'newer'")
        assert elsewhere(title, book.pk) == "new"
        cursor.execute("COMMIT")

    assert title(book.pk) == "newer"


def test_what_another_session_has_prepared_may_be_anything() -> None:
    def commit() -> None:
        with suppress(ProgrammingError, OperationalError), connection.cursor() as cursor:
            cursor.execute("COMMIT PREPARED 'nothing'")  # there is no such one, but nobody knows before

    author = make_author(name="old")
    names()
    commit()

    assert result(names) != "hit"
    assert author.pk
