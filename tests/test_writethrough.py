"""`write_through`: the new value is there before the next read, and no save fails for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from django.core import serializers
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, transaction

from cachekit import MISSING, ReadThrough, cached, uncached, write_through, writethrough
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book, Novel

transactional = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writethrough, "_known", [])


class Titles:
    """A cached title, written through, and how often it was computed."""

    def __init__(self) -> None:
        self.computed = 0
        self.meanwhile: Callable[[], object] | None = None
        self.of: Any = write_through(Book, cached(300, name="through")(self.read))

    def read(self, pk: int) -> str:
        self.computed += 1
        found = Book.objects.get(pk=pk).title
        if self.meanwhile is not None:
            do, self.meanwhile = self.meanwhile, None
            do()
        return found


@pytest.fixture
def titles() -> Titles:
    return Titles()


def closing(function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    """Run something on a thread of its own, and close its connection."""
    try:
        function(*args, **kwargs)
    finally:
        connections.close_all()


def joined(function: Callable[..., object], **kwargs: Any) -> None:
    """Run something on another thread, to its end."""
    thread = threading.Thread(target=closing, args=(function,), kwargs=kwargs)
    thread.start()
    thread.join()


@transactional
def test_the_next_read_is_a_hit_with_the_new_value(titles: Titles, django_assert_num_queries: Any) -> None:
    book = make_book("old")
    with django_assert_num_queries(0):
        assert titles.of(book.pk) == "old"

    with transaction.atomic():
        book.title = "newer"
        book.save()
        book.title = "new"
        book.save()
        before = titles.computed
    with django_assert_num_queries(0):
        assert [titles.of.peek(book.pk), titles.of(book.pk)] == ["new", "new"]
    assert titles.computed == before + 1  # once for the commit

    novel = Novel.objects.get(pk=book.pk)
    novel.title = "of a proxy"
    novel.save()
    assert titles.of.peek(book.pk) == "of a proxy"

    before = titles.computed  # what is not committed, or not saved
    with transaction.atomic():
        book.title = "never"
        book.save()
        transaction.set_rollback(True)
    assert titles.computed == before
    assert titles.of(book.pk) == "of a proxy"
    before = titles.computed
    Book.objects.filter(pk=book.pk).update(title="updated")
    assert titles.of.peek(book.pk) is MISSING
    with uncached():
        Book.objects.get(pk=book.pk).save()
    next(serializers.deserialize("json", serializers.serialize("json", [book]))).save()  # as loaddata does
    assert titles.of.peek(book.pk) is MISSING
    assert titles.computed == before
    titles.of(book.pk)
    book.delete()
    assert titles.of.peek(book.pk) is MISSING


@transactional
def test_the_last_of_several_writers_is_the_one_that_is_read(titles: Titles) -> None:
    book, committed = make_book("old"), threading.Event()

    def save_again() -> None:
        with transaction.atomic():
            transaction.on_commit(committed.set)
            other = Book.objects.get(pk=book.pk)
            other.title = "third"
            other.save()

    titles.meanwhile = lambda: joined(Book.objects.filter(pk=book.pk).update, title="second")
    book.title = "first"
    book.save()
    assert titles.of(book.pk) == "second"

    saving = threading.Thread(target=closing, args=(save_again,))

    def start() -> None:
        saving.start()
        assert committed.wait(20)  # what it brings itself waits for this one

    titles.meanwhile = start
    book.title = "first"
    book.save()
    saving.join()
    assert titles.of.peek(book.pk) == "third"


@transactional
def test_what_fails_fails_no_save(titles: Titles, caplog: pytest.LogCaptureFixture) -> None:
    book = make_book("old")

    def fail() -> None:
        raise DatabaseError("away")

    titles.meanwhile = fail
    write_through(Book, titles.of, args=lambda book: book.nothing)
    with caplog.at_level(logging.WARNING, logger="cachekit.writethrough"):
        book.title = "new"
        book.save()

    assert titles.of(book.pk) == "new"
    assert "was not written through: DatabaseError('away')" in caplog.text
    assert "its arguments are not known" in caplog.text


@transactional
def test_it_is_asked_for_what_the_arguments_say(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str]] = []

    @write_through("zoo.Book", args=lambda book: (book.pk, book.status) if book.status != "secret" else None)
    @cached(300, name="moment")
    def title(pk: int, status: str) -> str:
        asked.append((pk, status))
        return Book.objects.get(pk=pk).title

    @write_through(Author, args=lambda author: (author,))
    @cached(300, name="shout")
    def shout(self: Author) -> str:
        return self.name.upper()

    monkeypatch.setattr(Author, "shout", shout, raising=False)
    authors: Any = write_through(Author, ReadThrough(lambda pk: Author.objects.get(pk=pk), 300, name="written"))

    with transaction.atomic():
        book = make_book("one", status="draft")
        first = book.pk
        book.pk, book.status = None, "secret"
        book.save()
    assert asked == [(first, "draft")]
    ada: Any = make_author("Ada")
    ada.name = "Ann"
    ada.save()
    assert ada.shout.peek() == "ANN"
    assert cast("Author", authors.peek(ada.pk)).name == "Ann"


@transactional
async def test_awaited_functions_are_written_through() -> None:
    @write_through(Author)
    @cached(300, name="awaited_name")
    async def name(pk: int) -> str:
        return (await Author.objects.aget(pk=pk)).name

    ada = await Author.objects.acreate(name="Ada")
    assert await name.peek(ada.pk) == "Ada"
    ada.name = "Ann"
    await ada.asave()
    assert await name.peek(ada.pk) == "Ann"


def unkept(pk: int) -> None: ...


def test_what_is_not_cached_or_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match=r"@write_through\(Product\)"):
        write_through(len)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="put it above @cached"):
        write_through(Book, unkept)
    with pytest.raises(ImproperlyConfigured, match="Bok"):
        write_through("zoo.Bok", cached(300, name="misspelt")(lambda pk: pk))
    with pytest.raises(ImproperlyConfigured, match="Bok"):
        writethrough.check()
