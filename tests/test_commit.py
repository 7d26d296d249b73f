"""A commit stands between its intents and its invalidation, whatever dies in between."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from cachekit import cached, hooks, outbox
from cachekit.core.steps import Intend, Invalidate
from cachekit.invalidation import pending
from cachekit.models import Outbox
from cachekit.stores import store_for
from cachekit.testing import reset
from tests.patience import until
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book

pytestmark = pytest.mark.django_db(transaction=True)


@cached(600)
def title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


def kept(pk: int) -> bool:
    """Tell whether a call would be a hit now."""
    before: list[str] = []
    hooks.subscribe(hooks.Lookup, listener := (lambda event: before.append(event.result)))
    try:
        title(pk)
    finally:
        hooks.unsubscribe(hooks.Lookup, listener)
    return before == ["hit"]


def spied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    store: Any = store_for("default")
    seen: list[str] = []

    def noting(real: Any) -> Any:
        def carry_out(step: Any, *lost: Any) -> Any:
            seen.append(type(step).__name__)
            return real(step, *lost)

        return carry_out

    for name in ("do", "post"):
        monkeypatch.setattr(store, name, noting(getattr(store, name)))
    return seen


def test_intents_stand_before_commit_and_are_settled_after(monkeypatch: pytest.MonkeyPatch) -> None:
    book = make_book()
    seen = spied(monkeypatch)
    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="new")
        steps_before = list(seen)

    assert steps_before == []
    assert seen == ["Intend", "Invalidate"]


def test_a_statement_of_its_own_has_intents_too(monkeypatch: pytest.MonkeyPatch) -> None:
    book = make_author()
    seen = spied(monkeypatch)

    Author.objects.filter(pk=book.pk).update(name="new")

    assert seen == ["Intend", "Invalidate"]


def test_a_writer_killed_between_commit_and_settling_leaves_nothing_stale() -> None:
    book = make_book(title="old")
    assert title(book.pk) == "old"
    code = f"""
        import os, django
        django.setup()
        from cachekit.core import steps
        from cachekit.stores import store_for
        from django.db import transaction
        from tests.zoo.models import Book
        store = store_for("default")
        real = store.do
        def do(step, *lost):
            if isinstance(step, steps.Invalidate):
                os.kill(os.getpid(), 9)
            return real(step)
        store.do = store.post = do
        with transaction.atomic():
            Book.objects.filter(pk={book.pk}).update(title="new")
    """

    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=os.environ, check=False)

    assert done.returncode == -9
    assert title(book.pk) == "new"
    assert not kept(book.pk), "while the intent stands nothing that is computed is kept"


def test_a_refused_commit_withdraws() -> None:
    book = make_book(title="old")
    title(book.pk)

    def refuse() -> None:
        raise IntegrityError("deferred constraint")

    real = connection._commit.args  # type: ignore[attr-defined]
    with pytest.raises(IntegrityError), transaction.atomic():  # noqa: PT012 - the block's end is what raises
        Book.objects.filter(pk=book.pk).update(title="new")
        connection._commit = type(connection._commit)(connection._commit.func, real[0], refuse)  # type: ignore[attr-defined]
    connection._commit = type(connection._commit)(connection._commit.func, *real)  # type: ignore[attr-defined]

    title(book.pk)
    assert title(book.pk) == "old"
    assert kept(book.pk)


def test_what_a_server_that_is_away_cannot_be_told_stands_in_the_outbox(own_valkey: Any, use_cache: Any) -> None:
    options = {"SOCKET_TIMEOUT": 0.3, "SOCKET_CONNECT_TIMEOUT": 0.3}
    use_cache(own_valkey.url, OPTIONS=options)
    book = make_book(title="old")
    title(book.pk)
    own_valkey.pause()
    try:
        Book.objects.filter(pk=book.pk).update(title="new")

        (row,) = Outbox.objects.all()
        assert f"zoo.book#{book.pk}" in row.tags.split("\n")
        assert row.aliases.split("\n") == ["default"]
        assert title(book.pk) == "new"
    finally:
        own_valkey.resume()


def test_the_relay_delivers_what_another_process_left(own_valkey: Any, use_cache: Any) -> None:
    use_cache(own_valkey.url, OPTIONS={"SOCKET_TIMEOUT": 0.3, "SOCKET_CONNECT_TIMEOUT": 0.3})
    book = make_book(title="old")
    title(book.pk)
    own_valkey.pause()
    Book.objects.filter(pk=book.pk).update(title="new")
    reset()  # the writer is gone, with all that it knew
    own_valkey.resume()

    assert until(lambda: outbox.relay("default")) == 1

    assert title(book.pk) == "new"
    assert not Outbox.objects.exists()


def test_a_rollback_writes_no_outbox(own_valkey: Any, use_cache: Any) -> None:
    use_cache(own_valkey.url)
    book = make_book(title="old")
    store_for("default").hear()
    own_valkey.kill()

    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012 - the block is the transaction
        Book.objects.filter(pk=book.pk).update(title="new")
        raise ZeroDivisionError

    assert not Outbox.objects.exists()
    assert not pending("default")


def test_one_writers_settling_leaves_anothers_intent() -> None:
    book = make_book(title="old")
    store = store_for("default")
    tag = f"zoo.book#{book.pk}"
    store.do(Intend((tag,), "another"))

    Book.objects.filter(pk=book.pk).update(title="new")
    title(book.pk)

    assert not kept(book.pk)
    store.do(Invalidate((tag,), transaction="another"))
    title(book.pk)
    assert kept(book.pk)
