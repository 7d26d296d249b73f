"""Every way in which a transaction ends: nothing of a lost one is told, and the next one starts clean."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from django.db import (
    DatabaseError,
    Error,
    IntegrityError,
    OperationalError,
    close_old_connections,
    connection,
    connections,
    transaction,
)

from cachekit import cached, hooks, intents
from cachekit.core.steps import Intend
from cachekit.orm import dirty_tags
from tests.orm.test_transactions import elsewhere
from tests.servers import Postgres
from tests.zoo.builders import make_book
from tests.zoo.models import Author, Book

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE = 30.0


class Refuse(Exception):
    """Raised to leave a transaction."""


@cached(600)
def title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


@pytest.fixture
def told() -> Iterator[list[tuple[str, ...]]]:
    """What is invalidated."""
    found: list[tuple[str, ...]] = []
    hooks.subscribe(hooks.Invalidated, listener := (lambda event: found.append(event.tags)))
    yield found
    hooks.unsubscribe(hooks.Invalidated, listener)


def answered(pk: int) -> str:
    """Tell how `title` is answered: hit, miss, ..."""
    seen: list[str] = []
    hooks.subscribe(hooks.Lookup, listener := (lambda event: seen.append(event.result)))
    try:
        title(pk)
    finally:
        hooks.unsubscribe(hooks.Lookup, listener)
    return seen[0]


def kill(pid: int, *, committing: bool = False) -> None:
    """End a backend of the server, from a connection of its own; perhaps once it is busy with its COMMIT."""
    deadline = time.monotonic() + PATIENCE
    with connection.cursor() as cursor:
        while committing and time.monotonic() < deadline:
            cursor.execute("SELECT state, query FROM pg_stat_activity WHERE pid = %s", [pid])
            if cursor.fetchone() == ("active", "COMMIT"):
                break
            time.sleep(0.02)
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def killed() -> None:
    elsewhere(kill, backend())
    Author.objects.count()


def closed() -> None:
    connection.close()


def lost_underneath() -> None:
    connection.connection.close()
    Author.objects.count()


def refused_statement() -> None:
    Book.objects.filter(pk__gt=0).update(author_id=None)


LOSSES: dict[str, Callable[[], None]] = {
    "the backend is killed": killed,
    "the connection is closed": closed,
    "the driver's connection is closed": lost_underneath,
    "a statement is refused": refused_statement,
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("depth", [0, 2])
def test_nothing_of_a_lost_transaction_survives(loss: str, depth: int, told: list[tuple[str, ...]]) -> None:
    if loss == "the backend is killed" and connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL: CACHEKIT_TEST_DATABASE=postgres")
    book = make_book("old")
    title(book.pk)
    told.clear()

    def lose(depth: int) -> None:
        with transaction.atomic():
            if depth:
                return lose(depth - 1)
            Book.objects.filter(pk=book.pk).update(title="lost")
            LOSSES[loss]()
            raise Refuse

    with suppress(Refuse, Error):
        lose(depth)

    assert told == []
    assert not dirty_tags()
    assert title(book.pk) == "old"
    _goes_on(book, told)


def _goes_on(book: Book, told: list[tuple[str, ...]]) -> None:
    """Assert that the next transactions on this thread know nothing but their own writes."""
    author = Author.objects.first()
    assert author is not None
    told.clear()
    with transaction.atomic():
        author.save()
    assert [set(tags) for tags in told] == [{"zoo.author", f"zoo.author#{author.pk}"}]
    Book.objects.filter(pk=book.pk).update(title="new")
    assert title(book.pk) == "new"
    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="newer")
    assert title(book.pk) == "newer"


def test_autocommit_off_and_the_end_of_a_request(told: list[tuple[str, ...]]) -> None:
    book = make_book("old")
    title(book.pk)
    told.clear()

    transaction.set_autocommit(False)
    Book.objects.filter(pk=book.pk).update(title="lost")
    close_old_connections()  # as at the end of a request: a connection that is not as the settings say is closed

    assert told == []
    assert not dirty_tags()
    assert title(book.pk) == "old"
    _goes_on(book, told)


@contextmanager
def locked() -> Iterator[None]:
    """Hold the write lock from another thread."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Author.objects.update(email="x")
            held.set()
            done.wait(PATIENCE)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(PATIENCE)
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="how SQLite locks")
@pytest.mark.parametrize("atomic", [True, False])
def test_a_database_that_is_locked(told: list[tuple[str, ...]], atomic: bool) -> None:
    book = make_book("old")
    title(book.pk)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 50")
    try:
        with locked():
            told.clear()
            with pytest.raises(OperationalError, match="locked"):
                Book.objects.filter(pk=book.pk).update(title="lost") if not atomic else _in_a_block(book)
            assert told == []
            assert not dirty_tags()
    finally:
        connection.close()

    assert title(book.pk) == "old"
    _goes_on(book, told)


def _in_a_block(book: Book) -> None:
    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="lost")


def test_savepoints_at_any_depth(told: list[tuple[str, ...]]) -> None:
    books = [make_book(f"old {n}") for n in range(6)]
    for book in books:
        title(book.pk)
    told.clear()

    def descend(depth: int) -> None:
        with suppress(Refuse), transaction.atomic():
            Book.objects.filter(pk=books[depth].pk).update(title=f"new {depth}")
            assert title(books[depth].pk) == f"new {depth}"
            if depth < 5:
                descend(depth + 1)
            assert told == []
            if depth in (3, 5):
                raise Refuse

    descend(0)

    assert [title(book.pk) for book in books] == ["new 0", "new 1", "new 2", "old 3", "old 4", "old 5"]
    assert len(told) == 1


def test_savepoints_by_hand(told: list[tuple[str, ...]]) -> None:
    book = make_book("old")
    title(book.pk)
    told.clear()

    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="new")
        point = getattr(transaction, "savepoint_create", transaction.savepoint)()  # its name since Django 6.1
        Book.objects.filter(pk=book.pk).update(title="newer")
        transaction.savepoint_rollback(point)
        assert title(book.pk) == "new"

    assert len(told) == 1
    assert title(book.pk) == "new"


def test_a_durable_block_without_savepoints(told: list[tuple[str, ...]]) -> None:
    book = make_book("old")
    title(book.pk)
    told.clear()

    with transaction.atomic(durable=True):
        with transaction.atomic(savepoint=False):
            Book.objects.filter(pk=book.pk).update(title="new")
        assert told == []

    assert len(told) == 1
    assert title(book.pk) == "new"


@pytest.mark.parametrize("robust", [True, False])
def test_the_handlers_of_others_that_raise_come_too_late_to_do_harm(robust: bool) -> None:
    first, second = make_book("old"), make_book("old")
    title(first.pk)
    title(second.pk)

    def fail() -> None:
        Book.objects.filter(pk=second.pk).update(title="written by a handler")
        raise Refuse

    with suppress(Refuse), transaction.atomic():
        Book.objects.filter(pk=first.pk).update(title="new")
        transaction.on_commit(fail, robust=robust)

    assert title(first.pk) == "new"
    assert title(second.pk) == "written by a handler"
    assert not dirty_tags()


def test_a_lock_is_never_answered_from_a_cache_nor_kept() -> None:
    book = make_book("old")

    @cached(600)
    def locking() -> str:
        return Book.objects.select_for_update().get(pk=book.pk).title

    with transaction.atomic():
        locking()
    with transaction.atomic():
        Book.objects.select_for_update().get(pk=book.pk)
        assert title(book.pk) == "old"
        Book.objects.filter(pk=book.pk).update(title="new")
        assert title(book.pk) == "new"
    seen: list[str] = []
    hooks.subscribe(hooks.Lookup, listener := (lambda event: seen.append(event.result)))
    with transaction.atomic():
        assert locking() == "new"
    hooks.unsubscribe(hooks.Lookup, listener)
    assert seen == ["miss"]


def test_a_commit_that_the_database_refuses_withdraws(told: list[tuple[str, ...]]) -> None:
    book = make_book("old")
    title(book.pk)
    told.clear()

    with pytest.raises(IntegrityError), transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="lost", editor_id=10**6)  # refused when it is deferred to COMMIT

    assert told == []
    assert title(book.pk) == "old"
    assert answered(book.pk) == "hit"
    _goes_on(book, told)


@pytest.mark.postgres
def test_a_commit_without_an_answer_leaves_its_intent(
    monkeypatch: pytest.MonkeyPatch, told: list[tuple[str, ...]]
) -> None:
    book = make_book("old")
    title(book.pk)
    monkeypatch.setattr(intents, "Intend", partial(Intend, lease=600.0))
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION zoo_slow() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'"
        )
        cursor.execute(
            "CREATE CONSTRAINT TRIGGER zoo_slow AFTER UPDATE ON zoo_author DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION zoo_slow()"
        )
    told.clear()
    killer = threading.Thread(target=elsewhere, args=(partial(kill, committing=True), backend()))
    try:
        with pytest.raises(OperationalError), transaction.atomic():  # noqa: PT012 - the end of the block raises
            Author.objects.update(name="lost")
            Book.objects.filter(pk=book.pk).update(title="lost")
            killer.start()
        killer.join()

        assert told == []
        assert not dirty_tags()
        assert title(book.pk) == "old"
        assert answered(book.pk) == "stale", "the COMMIT may still land: nothing is kept while the intent stands"
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION zoo_slow CASCADE")


@pytest.mark.postgres
def test_a_database_that_was_restarted(told: list[tuple[str, ...]]) -> None:
    before = {name: connection.settings_dict[name] for name in ("PORT", "NAME")}
    with Postgres() as server:
        connection.close()
        connection.settings_dict.update(PORT=server.port, NAME="postgres")
        try:
            _restarts(server, told)
        finally:
            connection.close()
            connection.settings_dict.update(before)


def _restarts(server: Postgres, told: list[tuple[str, ...]]) -> None:
    with connection.schema_editor() as editor:
        editor.create_model(Author)
    Author.objects.create(name="old")
    told.clear()

    with suppress(DatabaseError), transaction.atomic():
        Author.objects.update(name="lost")
        server.restart()
        Author.objects.count()

    assert told == []
    assert not dirty_tags()
    assert Author.objects.get().name == "old"
    with transaction.atomic():
        Author.objects.update(name="new")
    assert [set(tags) for tags in told] == [{"zoo.author", "zoo.author#*"}]
