"""Triggers: whatever any client of PostgreSQL commits, the relay tells the caches."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from importlib import import_module
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.db.migrations.state import ProjectState

from cachekit import cached, hooks, outbox, registry, triggers
from cachekit.contrib.postgres.operations import InstallTriggers
from cachekit.core import tags as core_tags
from cachekit.models import Outbox
from cachekit.orm.outboxes import drained
from cachekit.outbox import changes
from cachekit.stores import store_for
from cachekit.stores.settled import settled
from tests.patience import until
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book, Cover, Folder, Parcel, Place

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True, databases=["default", "other"])]
CHOSEN = [Author, Book, Folder, Parcel, Place]


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    triggers.install("default", CHOSEN)
    yield
    triggers.remove("default", CHOSEN)
    written()


def written() -> list[str]:
    """Take what triggers have written down."""
    return [row.tags for row in changes.take("default", 1000)]


@pytest.fixture
def outside() -> Iterator[Any]:
    """A client that knows nothing of Django."""
    import psycopg

    known = connection.get_connection_params()
    with psycopg.connect(
        **{name: known[name] for name in ("host", "port", "user", "dbname")}, autocommit=True
    ) as client:
        yield client


@cached(600)
def titles() -> list[str]:
    return list(Book.objects.order_by("title").values_list("title", flat=True))


@cached(600)
def title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


@cached(600)
def drafts() -> list[str]:
    return [book.title for book in Book.objects.filter(status="draft")]


def result(function: Any, *args: Any) -> str:
    seen: list[str] = []
    hooks.subscribe(hooks.Lookup, listener := (lambda event: seen.append(event.result)))
    try:
        function(*args)
    finally:
        hooks.unsubscribe(hooks.Lookup, listener)
    return seen[0]


def told_by(act: Callable[[], Any]) -> set[str]:
    """Return the tags that a statement of the outside client writes into the outbox."""
    written()
    act()
    return {tag for row, _ in changes.told("default", 1000) for tag in outbox.tags_in(row)}


def test_an_update_tells_its_rows_and_both_slices(outside: Any) -> None:
    book = make_book(status="draft")

    tags = told_by(lambda: outside.execute("UPDATE zoo_book SET status = 'Sold out!' WHERE id = %s", [book.pk]))

    family = "zoo.book"
    status, author = Book._meta.get_field("status"), Book._meta.get_field("author")
    assert tags == {
        family,
        registry.row(family, Book._meta.pk, book.pk),
        registry.slice_of(family, status, "draft"),
        registry.slice_of(family, status, "Sold out!"),
        registry.slice_of(family, author, book.author_id),
    }


def test_nothing_touched_is_nothing_told(outside: Any) -> None:
    assert told_by(lambda: outside.execute("DELETE FROM zoo_book WHERE id = -1")) == set()


def test_three_rows_a_statement_at_most_whatever_it_touches(outside: Any) -> None:
    author = make_author()
    make = "INSERT INTO zoo_folder (name) SELECT 'f' || n FROM generate_series(1, {}) n"

    few = told_by(lambda: outside.execute(make.format(200)))
    assert changes.counted("default")[0] <= 3
    many = told_by(lambda: outside.execute(make.format(201)))
    assert changes.counted("default")[0] <= 3

    assert len(few) == 201
    assert {"zoo.folder", "zoo.folder#*", "zoo.folder?*"} <= many
    assert len(many) <= 5
    assert told_by(
        lambda: outside.execute("UPDATE zoo_folder SET name = 'x' WHERE id IN (SELECT id FROM zoo_folder LIMIT 200)")
    )
    assert author.pk


VALUES = [
    "",
    " ",
    "draft",
    "Draft ",
    "a/b?c=d&e",
    "100 %",
    "~null",
    "Ünï",
    "ß",
    "İ",
    "x" * 20,
    "'\"\\",
    "'\x1eNULL\x1f\\'",
    "NULL",
    "tab\tin",
    "日本",
]


@pytest.mark.parametrize("value", VALUES)
def test_text_is_told_as_python_writes_it(outside: Any, value: str) -> None:
    book = make_book()
    exact = registry.slice_of("zoo.book", Book._meta.get_field("status"), value)

    changed = told_by(lambda: outside.execute("UPDATE zoo_book SET status = %s WHERE id = %s", [value, book.pk]))
    kept = told_by(lambda: outside.execute("UPDATE zoo_book SET title = 'x' WHERE id = %s", [book.pk]))

    assert exact in changed & kept
    assert "zoo.book?*" not in changed | kept


def test_text_of_several_lines_in_one_row_is_told_by_value_in_several_whole(outside: Any) -> None:
    book = make_book()
    exact = registry.slice_of("zoo.book", Book._meta.get_field("status"), "a\nb")

    changed = told_by(lambda: outside.execute("UPDATE zoo_book SET status = E'a\\nb' WHERE id = %s", [book.pk]))
    make_book(status="a\nb")
    both = told_by(lambda: outside.execute("UPDATE zoo_book SET title = 'x'"))

    assert exact in changed
    assert "zoo.book?*" in both


def test_long_text_is_told_as_python_shortens_it(outside: Any) -> None:
    place = Place.objects.create(name="n", city="short")

    tags = told_by(lambda: outside.execute("UPDATE zoo_place SET city = %s WHERE id = %s", ["%" * 90, place.pk]))

    assert registry.slice_of("zoo.place", Place._meta.get_field("city"), "%" * 90) in tags
    assert "zoo.place?city=short" in tags


def test_keys_of_other_types(outside: Any) -> None:
    parcel = Parcel.objects.create(id=uuid.UUID("ABCDEF01-2345-6789-ABCD-EF0123456789"))

    tags = told_by(lambda: outside.execute("DELETE FROM zoo_parcel"))

    assert tags == {"zoo.parcel", registry.row("zoo.parcel", Parcel._meta.pk, parcel.pk)}


KINDS: dict[str, tuple[Any, Any]] = {
    "author": (1, None),
    "editor": (None, 2),
    "status": ("Sold out!", "ÜBER %"),
    "title": ("x" * 200, ""),
    "price": (Decimal("12.50"), Decimal("-7.00")),
    "stock": (-1, 0),
    "views": (2**40, 3),
    "published": (datetime.date(1999, 12, 31), None),
}
"""Every index of a book: its value before and after."""


@pytest.fixture
def everything_declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Book, "CACHEKIT_INDEXES", tuple(KINDS))
    registry.indexes_of.cache_clear()
    triggers.install("default", [Book])
    yield
    monkeypatch.undo()
    registry.indexes_of.cache_clear()


def _field(name: str) -> Any:
    return Book._meta.get_field(name)


def _slices(values: dict[str, Any]) -> set[str]:
    return {registry.slice_of("zoo.book", _field(name), value) for name, value in values.items()}


@pytest.mark.usefixtures("everything_declared")
def test_every_type_is_told_as_python_writes_it(outside: Any) -> None:
    one, two = make_author(), make_author("Bea")
    pks = {1: one.pk, 2: two.pk, None: None}
    before = {name: pks[old] if name in ("author", "editor") else old for name, (old, _) in KINDS.items()}
    after = {name: pks[new] if name in ("author", "editor") else new for name, (_, new) in KINDS.items()}
    after["author"] = two.pk
    columns = [_field(name).column for name in KINDS]
    placed = ", ".join(["%s"] * len(columns))

    made = told_by(
        lambda: outside.execute(f"INSERT INTO zoo_book ({', '.join(columns)}) VALUES ({placed})", [*before.values()])
    )
    key = registry.row("zoo.book", Book._meta.pk, Book.objects.get().pk)
    kept = told_by(lambda: outside.execute("UPDATE zoo_book SET status = status"))
    (once,) = written()
    sets = ", ".join(f"{column} = %s" for column in columns)
    changed = told_by(lambda: outside.execute(f"UPDATE zoo_book SET {sets}", [*after.values()]))
    gone = told_by(lambda: outside.execute("DELETE FROM zoo_book"))

    assert made == kept == {"zoo.book", key} | _slices(before)
    assert core_tags.VALUES in once  # by the short way
    assert changed == {"zoo.book", key} | _slices(before) | _slices(after)
    assert gone == {"zoo.book", key} | _slices(after)


@pytest.mark.usefixtures("everything_declared")
def test_several_rows_are_told_like_one(outside: Any) -> None:
    books = [make_book(f"T {n}", status="A B", price=n, published=datetime.date(2000, 1, n)) for n in (1, 2, 3)]

    tags = told_by(lambda: outside.execute("UPDATE zoo_book SET editor_id = NULL"))

    values = [{name: getattr(book, name) for name in KINDS} for book in books]
    keys = {registry.row("zoo.book", Book._meta.pk, book.pk) for book in books}
    assert tags == {"zoo.book"} | keys | set[str]().union(*map(_slices, values))


@pytest.mark.usefixtures("everything_declared")
def test_dates_in_a_style_of_the_writer_are_told_whole(outside: Any) -> None:
    make_book(published=datetime.date(1999, 12, 31))
    outside.execute("SET datestyle = 'German'")

    tags = told_by(lambda: outside.execute("UPDATE zoo_book SET title = 'x'"))

    assert "zoo.book?*" in tags


def _sql(sql: str) -> Callable[[Any], Any]:
    return lambda client: client.execute(sql)


def _copy(client: Any) -> None:
    author = client.execute("SELECT id FROM zoo_author LIMIT 1").fetchone()[0]
    columns = "title, author_id, status, price, stock, views"
    with client.cursor() as cursor, cursor.copy(f"COPY zoo_book ({columns}) FROM STDIN") as copy:
        copy.write_row(("copied", author, "draft", 0, 0, 0))


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(_sql("UPDATE zoo_book SET title = 'new'"), id="update"),
        pytest.param(_copy, id="copy"),
        pytest.param(_sql("TRUNCATE zoo_book CASCADE"), id="truncate"),
        pytest.param(_sql("DELETE FROM zoo_author"), id="cascade"),
        pytest.param(_sql("WITH d AS (DELETE FROM zoo_book RETURNING 1) SELECT count(*) FROM d"), id="with"),
    ],
)
def test_the_next_read_after_the_relay_is_fresh(outside: Any, write: Callable[[Any], Any]) -> None:
    kept = _drop_plain_keys(outside)
    outside.execute(
        "ALTER TABLE zoo_book ADD CONSTRAINT falls FOREIGN KEY (author_id) REFERENCES zoo_author ON DELETE CASCADE"
    )
    try:
        make_book(title="old")
        outbox.relay("default")
        titles(), drafts()
        assert result(titles) == result(drafts) == "hit"

        write(outside)
        outbox.relay("default")

        assert titles() == [row[0] for row in outside.execute("SELECT title FROM zoo_book ORDER BY title")]
        assert drafts() == [row[0] for row in outside.execute("SELECT title FROM zoo_book WHERE status = 'draft'")]
        assert outbox.waiting("default").rows == 0
    finally:
        outside.execute("ALTER TABLE zoo_book DROP CONSTRAINT falls")
        for name, definition in kept:
            outside.execute(f'ALTER TABLE zoo_book ADD CONSTRAINT "{name}" {definition}')


def _drop_plain_keys(client: Any) -> list[tuple[str, str]]:
    """Leave the constraint that cascades as the only one on the column; return the others, to be put back."""
    found: list[tuple[str, str]] = client.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = 'zoo_book'::regclass AND contype = 'f'"
        " AND conname <> 'falls' AND confrelid = 'zoo_author'::regclass"
    ).fetchall()
    for name, _ in found:
        client.execute(f'ALTER TABLE zoo_book DROP CONSTRAINT "{name}"')
    return found


def test_what_django_writes_it_tells_itself_and_the_relay_does_not_tell_again() -> None:
    book = make_book(title="old")
    Book.objects.filter(pk=book.pk).update(title="new")
    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="newer")
        make_author()
    titles()
    count = outbox.waiting("default").rows

    assert count >= 4
    assert outbox.relay("default") == count
    assert result(titles) == "hit"


def test_a_cascade_in_the_database_is_told_with_the_commit_that_caused_it(outside: Any) -> None:
    outside.execute(
        "CREATE OR REPLACE FUNCTION retitle() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN UPDATE zoo_book SET title = 'by trigger'; RETURN NULL; END $$;"
        "CREATE TRIGGER retitle AFTER UPDATE ON zoo_author FOR EACH STATEMENT EXECUTE FUNCTION retitle()"
    )
    make_book(title="old")
    titles()

    Author.objects.update(name="new")
    first = titles()
    with transaction.atomic():
        outside.execute("UPDATE zoo_book SET title = 'again'")
        Author.objects.update(name="newer")
    second = titles()

    outside.execute("DROP TRIGGER retitle ON zoo_author")
    assert first == ["by trigger"]
    assert second == ["by trigger"]


def test_a_rollback_leaves_no_row_and_no_memory(outside: Any) -> None:
    book = make_book(title="old")
    titles()
    written()

    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="new")
        transaction.set_rollback(True)

    assert outbox.waiting("default").rows == 0
    assert result(titles) == "hit"


def test_a_writer_that_dies_after_its_commit_is_relayed(outside: Any) -> None:
    book = make_book(title="old")
    outbox.relay("default")
    assert title(book.pk) == "old"
    code = (
        "import os, django; django.setup()\n"
        "from cachekit.orm import transactions\n"
        "transactions.invalidate_tags = lambda *args, **kwargs: os._exit(9)\n"
        "from tests.zoo.models import Book\n"
        f"Book.objects.filter(pk={book.pk}).update(title='new')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 9

    assert outbox.relay("default") == 1
    assert title(book.pk) == "new"


def test_rows_that_a_cache_has_not_got_stay_for_it_alone(outside: Any, own_valkey: Any, use_cache: Any) -> None:
    use_cache(own_valkey.url)
    make_book(title="old")
    outbox.relay("default")
    own_valkey.kill()

    outside.execute("UPDATE zoo_book SET title = 'new'")

    assert outbox.relay("default") == 0
    assert [row.aliases for row in Outbox.objects.all()] == ["default"]
    own_valkey.start()
    until(lambda: outbox.relay("default"))
    assert not Outbox.objects.exists()


def test_ids_that_commit_out_of_order_are_all_relayed(outside: Any) -> None:
    import psycopg

    known = connection.get_connection_params()
    make_book(title="old"), make_author()
    outbox.relay("default")
    with psycopg.connect(**{name: known[name] for name in ("host", "port", "user", "dbname")}) as slow:
        slow.execute("UPDATE zoo_book SET title = 'slow'")
        outside.execute("UPDATE zoo_author SET name = 'quick' WHERE id = (SELECT max(id) FROM zoo_author)")

        assert outbox.relay("default") == 1
        assert titles() == ["old"]
        slow.commit()
    assert outbox.relay("default") == 1
    assert titles() == ["slow"]


def test_a_renamed_column_never_stops_a_writer(outside: Any) -> None:
    make_book(status="draft")
    outside.execute("ALTER TABLE zoo_book RENAME COLUMN status TO state")
    try:
        tags = told_by(lambda: outside.execute("UPDATE zoo_book SET title = 'x'"))
    finally:
        outside.execute("ALTER TABLE zoo_book RENAME COLUMN state TO status")

    assert {"zoo.book", "zoo.book?*"} <= tags


def test_a_renamed_key_is_every_row(outside: Any) -> None:
    make_book()
    outside.execute("ALTER TABLE zoo_book RENAME COLUMN id TO number")
    try:
        one = told_by(lambda: outside.execute("UPDATE zoo_book SET title = 'x'"))
        outside.execute("SET cachekit.listens = 'on'")
        heard = told_by(lambda: outside.execute("UPDATE zoo_book SET title = 'x'"))
    finally:
        outside.execute("ALTER TABLE zoo_book RENAME COLUMN number TO id")

    assert "zoo.book#*" in one & heard


def test_names_in_the_writers_search_path_are_not_taken_for_those_of_postgresql(outside: Any) -> None:
    book = make_book()
    outside.execute(
        "CREATE SCHEMA evil; CREATE DOMAIN evil.text AS pg_catalog.text CHECK (VALUE = 'never');"
        "CREATE FUNCTION evil.no(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken'; END $$;"
        "CREATE OPERATOR evil.= (FUNCTION = evil.no, LEFTARG = bigint, RIGHTARG = bigint);"
        "CREATE FUNCTION evil.txid_current() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken'; END $$;"
        "SET search_path = evil, pg_catalog, public"
    )
    try:
        tags = told_by(lambda: outside.execute("UPDATE zoo_book SET title = 'x'"))
    finally:
        outside.execute("RESET search_path; DROP SCHEMA evil CASCADE")

    assert registry.row("zoo.book", Book._meta.pk, book.pk) in tags
    assert "zoo.book?*" not in tags


def test_other_roles_need_no_right_on_the_outbox(outside: Any) -> None:
    make_author()
    outside.execute("DO $$ BEGIN CREATE ROLE clerk; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    outside.execute("GRANT UPDATE ON zoo_author TO clerk")
    outside.execute("SET ROLE clerk")

    assert "zoo.author" in told_by(lambda: outside.execute("UPDATE zoo_author SET name = 'by clerk'"))
    outside.execute("RESET ROLE")


def test_a_cache_that_comes_back_hears_first_what_triggers_wrote(outside: Any) -> None:
    make_book(title="old")
    outbox.relay("default")
    titles()
    outside.execute("UPDATE zoo_book SET title = 'new'")

    assert drained("default")
    assert titles() == ["new"]
    assert outbox.waiting("default").rows == 0


def test_much_that_was_told_leaves_its_room_to_what_comes(outside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "SWEEP_AFTER", 100)
    make_author()
    outbox.relay("default")
    size = "SELECT pg_relation_size('cachekit_change')"
    room = []
    for _ in range(3):
        outside.execute("DO $$ BEGIN FOR n IN 1..200 LOOP UPDATE zoo_author SET name = 'x'; END LOOP; END $$")
        assert outbox.relay("default") >= 200
        room.append(outside.execute(size).fetchone()[0])

    assert room[2] <= 2 * room[0]


def test_a_publication_of_all_tables_does_not_stop_the_relay(outside: Any) -> None:
    make_author()
    outbox.relay("default")
    outside.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    try:
        outside.execute("UPDATE zoo_author SET name = 'new' WHERE id = (SELECT max(id) FROM zoo_author)")
        assert outbox.relay("default") == 1
    finally:
        outside.execute("DROP PUBLICATION everything")


def test_the_table_stays_while_triggers_write_into_it() -> None:
    migration = import_module("cachekit.migrations.0005_change")

    with connection.schema_editor() as editor, pytest.raises(RuntimeError, match="triggers remove first"):
        migration.backwards(None, editor)


# The command and the migration operation


def run(*words: str) -> str:
    out = StringIO()
    call_command("cachekit", *words, stdout=out)
    return out.getvalue()


def test_the_command_installs_shows_and_removes(monkeypatch: pytest.MonkeyPatch) -> None:
    triggers.remove("default", CHOSEN)
    assert "zoo.Cover: absent" in run("triggers", "status", "zoo.Cover")

    assert run("triggers", "install", "zoo.Cover") == "installed on zoo.Cover\n"
    assert "zoo.Cover: installed" in run("triggers", "status")
    assert "sessions.Session" not in run("triggers", "status")
    monkeypatch.setattr(Cover, "CACHEKIT_INDEXES", ("colour",), raising=False)
    registry.indexes_of.cache_clear()
    with pytest.raises(CommandError, match=r"triggers install zoo\.Cover"):
        run("triggers", "status", "zoo.Cover")
    assert triggers.refresh("default") == ["zoo.Cover"]
    registry.indexes_of.cache_clear()
    assert run("triggers", "remove", "zoo.Cover") == "removed from zoo.Cover\n"
    assert run("triggers", "remove", "zoo.Cover") == "removed from nothing\n"
    with pytest.raises(CommandError, match="No installed app"):
        run("triggers", "install", "nowhere.Model")


def test_the_migration_operation_installs_and_removes(outside: Any) -> None:
    triggers.remove("default", CHOSEN)
    operation, state = InstallTriggers("zoo.Cover", "zoo.Book"), ProjectState.from_apps(_apps())

    with connection.schema_editor() as editor:
        operation.database_forwards("zoo", editor, state, state)
    assert [one.state for one in triggers.status("default", [Cover, Book])] == ["installed", "installed"]
    with connection.schema_editor() as editor:
        operation.database_backwards("zoo", editor, state, state)

    assert [one.state for one in triggers.status("default", [Cover, Book])] == ["absent", "absent"]
    assert operation.deconstruct() == ("InstallTriggers", ["zoo.Cover", "zoo.Book"], {})


def _apps() -> Any:
    from django.apps import apps

    return apps


def test_status_tells_what_waits(outside: Any, settings: Any) -> None:
    settings.CACHES = {name: settings.CACHES[name] for name in ("default", "memory")}
    make_author()
    outbox.relay("default")
    outside.execute("UPDATE zoo_author SET name = 'x'")
    assert "default: 1 waiting, the oldest for" in run("status")
    outside.execute("UPDATE cachekit_change SET written_at = now() - interval '5 minutes'")

    with pytest.raises(CommandError, match="the outbox of database 'default' waits for 3"):
        run("status")


def test_transactions_told_are_noted_for_the_relay() -> None:
    make_author()

    names = {outbox.name_of("default", number) for _, number in changes.told("default", 1000) if number}

    assert names
    assert settled(store_for("default"), names) == names


@pytest.mark.processes
def test_the_relay_command_delivers_quickly_and_stops_gracefully(outside: Any) -> None:
    make_book(title="old")
    outbox.relay("default")
    command = [sys.executable, "-m", "django", "cachekit", "relay"]
    with subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("relaying")
            titles()
            outside.execute("UPDATE zoo_book SET title = 'new'")
            deadline = time.monotonic() + 20
            while titles() != ["new"] and time.monotonic() < deadline:
                time.sleep(0.02)
            seen = titles()
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.communicate(timeout=200)[0]

    assert seen == ["new"]
    assert rest.splitlines()[-1].startswith("stopped; ")
    assert process.returncode == 0


def test_other_databases_are_left_alone() -> None:
    assert connections["other"].vendor == "postgresql"
    with pytest.raises(LookupError):
        triggers.models_of("default", ["zoo.Nothing"])
