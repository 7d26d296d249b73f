"""Whatever is written, by whatever way: the next answer is what the database says, and no other answer is lost."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from rest_framework.test import APIClient

from cachekit import uncached
from tests.contrib.drf.answers import CALLS
from tests.contrib.drf.conftest import Ask, seen
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book, Note, Tag

pytestmark = pytest.mark.django_db(transaction=True)

Write = Callable[[APIClient, Book], Any]


def bulk_update(client: APIClient, book: Book) -> None:
    book.title = "bulk updated"
    Book.objects.bulk_update([book], ["title"])


def raw(client: APIClient, book: Book) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE zoo_book SET title = 'raw' WHERE id = %s", [book.pk])


def note(client: APIClient, book: Book) -> None:
    Note.objects.create(text="n", object_id=str(book.pk), content_type=ContentType.objects.get_for_model(Book))


def rename_author(client: APIClient, book: Book) -> None:
    book.author.name = "Grace"
    book.author.save()


def create(client: APIClient, book: Book) -> None:
    made = client.post("/books/", {"title": f"{book.title} new", "author_id": book.author_id})
    assert made.status_code == 201, made.content


THROUGH_THE_API: dict[str, Write] = {
    "create": create,
    "update": lambda client, book: client.put(f"/books/{book.pk}/", {"title": "put", "price": 3}),
    "partial update": lambda client, book: client.patch(f"/books/{book.pk}/", {"price": 2}),
    "to another author": lambda client, book: client.patch(f"/books/{book.pk}/", {"author_id": make_author("C").pk}),
    "destroy": lambda client, book: client.delete(f"/books/{book.pk}/"),
}
PAST_IT: dict[str, Write] = {
    "update()": lambda client, book: Book.objects.filter(price__gte=0).update(price=Decimal(9)),
    "bulk_update": bulk_update,
    "bulk_create": lambda client, book: Book.objects.bulk_create(
        [Book(title=f"{book.title} bulk", author=book.author)]
    ),
    "raw SQL": raw,
    "a tag more": lambda client, book: book.tags.add(Tag.objects.create(name="new")),
    "a tag renamed": lambda client, book: book.tags.update(name="renamed"),
    "no tags": lambda client, book: book.tags.clear(),
    "the author renamed": rename_author,
    "a note, read by a method": note,
    "cascade": lambda client, book: Author.objects.get(pk=book.author_id).delete(),
}


def test_every_write_is_seen(ask: Ask, django_assert_num_queries: Any) -> None:
    for number, (name, write) in enumerate({**THROUGH_THE_API, **PAST_IT}.items()):
        book, other = make_book(f"w{number}x first"), make_book(f"w{number}x other")
        book.tags.add(Tag.objects.create(name=f"old {number}"))
        asked = [f"books/{book.pk}/", f"books/{other.pk}/", f"books/?search=w{number}x&ordering=title"]
        for where in asked:
            ask(where)
        with django_assert_num_queries(0):
            assert {seen(ask(where)) for where in asked} == {"HIT"}, name

        write(APIClient(), book)

        for where in asked:
            response = ask(where)
            with uncached():
                expected = ask(where)
            assert (response.status_code, response.content) == (expected.status_code, expected.content), (name, where)


@pytest.mark.parametrize("name", ["update", "partial update"])
def test_a_write_to_one_leaves_the_others(name: str, ask: Ask) -> None:
    book, other = make_book("one"), make_book("other")
    for one in (book, other):
        ask(f"books/{one.pk}/")

    THROUGH_THE_API[name](APIClient(), book)

    assert seen(ask(f"books/{other.pk}/")) == "HIT"
    assert seen(ask(f"books/{book.pk}/")) != "HIT"


def test_in_a_transaction_its_writer_reads_what_it_wrote(ask: Ask) -> None:
    from django.db import transaction

    book = make_book("old")
    ask(f"books/{book.pk}/")

    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="new")
        assert ask(f"books/{book.pk}/").json()["title"] == "new"
        transaction.set_rollback(True)

    assert ask(f"books/{book.pk}/").json()["title"] == "old"


def test_not_found_is_kept_only_where_that_is_said(ask: Ask) -> None:
    assert [seen(ask("books/1234567/")) for _ in range(2)] == ["", ""]
    assert [seen(ask("missing/1234567/")) for _ in range(2)] == ["MISS", "HIT"]
    assert ask("missing/1234567/").status_code == 404

    make_book("there now", pk=1234567)

    assert ask("missing/1234567/").json() == {"title": "there now"}


def test_extra_actions_are_kept_by_themselves(ask: Ask) -> None:
    make_book("a")
    ask("books/titles/")
    CALLS.clear()

    assert ask("books/titles/").json() == ["a"]
    assert CALLS == []
    make_book("b")
    assert ask("books/titles/").json() == ["a", "b"]


def test_parameters_in_any_order_are_one_answer(ask: Ask) -> None:
    make_book("a")
    ask("books/?search=a&ordering=title&page=1")

    assert seen(ask("books/?page=1&search=a&ordering=title")) == "HIT"
    assert seen(ask("books/?page=1&search=a&ordering=-title")) == "MISS"
    assert seen(ask("books/?page=1&search=a&ordering=title&size=1")) == "MISS"


def test_unknown_parameters_make_no_other_answers_where_the_known_are_said(ask: Ask) -> None:
    for n in range(3):
        make_book(f"{n}", status="live")
    first = ask("known/?status=live&utm_source=mail")

    assert seen(ask("known/?status=live&utm_source=web&x=1")) == "HIT"
    assert "utm" not in first.json()["next"]
    for known in ("page=2", "size=1", "search=1", "ordering=-title", "status=draft", "format=json"):
        separate = ask(f"known/?{known}")
        assert seen(separate) == "MISS"
        with uncached():
            assert separate.content == ask(f"known/?{known}").content
    assert "format=json" in ask("known/?format=json").json()["next"]


def test_what_is_shown_of_the_user_is_never_old(ask: Ask, alice: User) -> None:
    for _ in range(2):
        assert ask("rights/", alice).json()["add"] is False

    alice.is_superuser = True
    alice.save()

    assert ask("rights/", alice).json()["add"] is True
