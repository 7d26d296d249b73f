"""Raw SQL: what is written is invalidated, what is read is depended on."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from django.core.management.color import no_style
from django.db import IntegrityError, connection, connections, transaction
from django.db.models.expressions import RawSQL

from cachekit import cached, hooks
from cachekit.orm.sqltext import CTE, tables_of
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book

WRITES = [
    # vendor, statement, tables written ("!" anything), tables read
    ("postgresql", "INSERT INTO shop_product (a) VALUES (%s)", "shop_product"),
    ("postgresql", 'INSERT INTO "public"."shop_product" VALUES (%(a)s, %(b)s)', "public.shop_product"),
    ("postgresql", "INSERT INTO a SELECT * FROM b", "a"),
    ("postgresql", "INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET x = excluded.x RETURNING id", "a"),
    ("postgresql", "UPDATE a SET x = 1", "a"),
    ("postgresql", "UPDATE ONLY a AS t SET x = t.x + 1 WHERE id = ANY(%s)", "a"),
    ("postgresql", "UPDATE a SET x = b.x FROM b WHERE a.id = b.id", "a"),
    ("postgresql", "  -- why\n /* two */ update A set x = 1", "A"),
    ("postgresql", "DELETE FROM a WHERE id IN (SELECT id FROM b)", "a"),
    ("postgresql", "DELETE FROM ONLY a USING b WHERE a.id = b.id", "a"),
    ("postgresql", "MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN DELETE", "a"),
    (
        "postgresql",
        "MERGE INTO a t USING (SELECT 1 AS id) s ON t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "a",
    ),
    ("postgresql", "TRUNCATE a", "a"),
    ("postgresql", 'TRUNCATE TABLE ONLY "a", "b" RESTART IDENTITY', "a b"),
    ("postgresql", "TRUNCATE a CASCADE", "! a"),
    ("postgresql", "COPY a (x, y) FROM STDIN WITH (FORMAT csv)", "a"),
    ("postgresql", "COPY a FROM PROGRAM 'cat x'", "a"),
    ("postgresql", "COPY a TO STDOUT", ""),
    ("postgresql", "COPY (SELECT * FROM a) TO STDOUT", ""),
    ("postgresql", "COPY (DELETE FROM a RETURNING *) TO STDOUT", "!"),
    ("postgresql", "REFRESH MATERIALIZED VIEW mv", "mv"),
    ("postgresql", "REFRESH MATERIALIZED VIEW CONCURRENTLY mv WITH DATA;", "mv"),
    ("postgresql", "WITH d AS (DELETE FROM a RETURNING *) SELECT * FROM d", "a"),
    ("postgresql", "WITH d AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM d", "a b"),
    ("postgresql", "WITH u AS (UPDATE a SET x = 1 RETURNING id), i AS (INSERT INTO b VALUES (1)) SELECT 1", "a b"),
    ("postgresql", "SELECT * INTO n FROM a", "n"),
    ("postgresql", "SELECT 1; DELETE FROM a", "a"),
    ("postgresql", "UPDATE a SET x = 1; UPDATE b SET x = 1;", "a b"),
    ("postgresql", "SET LOCAL work_mem = '1MB'; DELETE FROM a", "a"),
    ("postgresql", "CALL recount()", "!"),
    ("postgresql", "DO $$ BEGIN DELETE FROM a; END $$", "!"),
    ("postgresql", "EXECUTE prepared(1)", "!"),
    ("postgresql", "PREPARE p AS DELETE FROM a", "!"),
    ("postgresql", "EXPLAIN ANALYZE DELETE FROM a", "a"),
    ("postgresql", "EXPLAIN (ANALYZE, BUFFERS) UPDATE a SET x = 1", "a"),
    ("postgresql", "DROP TABLE IF EXISTS a, b", "a b"),
    ("postgresql", "DROP TABLE a CASCADE", "! a"),
    ("postgresql", "ALTER TABLE a ADD COLUMN x integer DEFAULT 3", "a"),
    ("postgresql", "ALTER TABLE a RENAME TO b", "a b"),
    ("postgresql", "ALTER TABLE a ATTACH PARTITION b FOR VALUES IN (1)", "!"),
    ("postgresql", "CREATE OR REPLACE VIEW v AS SELECT * FROM a", "v"),
    ("postgresql", "CREATE TABLE a (id integer)", ""),
    ("postgresql", "CREATE INDEX CONCURRENTLY i ON a (x)", ""),
    ("postgresql", "DROP INDEX i", ""),
    ("postgresql", "COMMENT ON TABLE a IS 'delete from b'", ""),
    ("postgresql", "GRANT INSERT ON a TO somebody", ""),
    ("postgresql", "LOCK TABLE a IN EXCLUSIVE MODE", ""),
    ("postgresql", "VACUUM FULL a", ""),
    ("postgresql", "SELECT 'delete from a; update b'", ""),
    ("postgresql", "this is no SQL", "!"),
    ("postgresql", "INSERT INTO a VALUES (" + "1, " * 40_000 + "1)", "!"),
    ("sqlite", "REPLACE INTO a VALUES (?)", "a"),
    ("sqlite", "INSERT OR REPLACE INTO a VALUES (?, :name)", "a"),
    ("sqlite", "UPDATE OR IGNORE [a] SET x = %s", "a"),
    ("sqlite", "DELETE FROM `a` WHERE x = %s AND y LIKE '%%z'", "a"),
    ("sqlite", 'ALTER TABLE "new__a" RENAME TO "a"', "a new__a"),
    ("sqlite", "PRAGMA foreign_keys = ON", ""),
    ("sqlite", "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET x = 1; END", "!"),
    ("mysql", "UPDATE a JOIN b ON a.id = b.id SET b.x = 1", "a b"),
    ("mysql", "DELETE a, b FROM a JOIN b ON a.id = b.id", "a b"),
    ("mysql", "INSERT IGNORE INTO `a` VALUES (1) ON DUPLICATE KEY UPDATE x = 1", "a"),
    ("mysql", "REPLACE INTO shop.a SELECT * FROM b", "shop.a"),
    ("mysql", "LOAD DATA INFILE 'x' INTO TABLE a", "!"),
]

READS = [
    # vendor, statement, tables read ("!" unreadable)
    ("postgresql", "SELECT * FROM a WHERE id = %s FOR UPDATE SKIP LOCKED", "lock a"),
    ("postgresql", 'SELECT * FROM "public"."shop_product" AS p JOIN b ON b.id = p.id', "b public.shop_product"),
    ("postgresql", "SELECT * FROM a LEFT JOIN LATERAL (SELECT * FROM b WHERE b.a = a.id LIMIT 1) c ON true", "a b"),
    ("postgresql", "WITH c AS (SELECT * FROM a) SELECT * FROM c", "a"),
    ("postgresql", "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT * FROM t, a", "a"),
    ("postgresql", "WITH a AS (SELECT * FROM a) SELECT * FROM a", ""),
    ("postgresql", "(SELECT x FROM a) UNION ALL (SELECT y FROM b) EXCEPT SELECT z FROM c", "a b c"),
    ("postgresql", "SELECT (SELECT max(x) FROM b) FROM a WHERE EXISTS (SELECT FROM c)", "a b c"),
    ("postgresql", "TABLE a", "a"),
    ("postgresql", "VALUES (1), (2)", ""),
    ("postgresql", "SELECT a.x #>> '{b}', y ->> 'c', z::jsonb @> %s FROM a TABLESAMPLE SYSTEM (1)", "a"),
    ("postgresql", "SELECT x FROM a WHERE y IN %s LIMIT %s", "a"),
    ("postgresql", "SELECT g, now() FROM generate_series(1, 3) g", "?"),
    ("postgresql", "SELECT g FROM generate_series(1, 3) g", ""),
    ("postgresql", "SELECT * FROM a ORDER BY random()", "? a"),
    ("postgresql", "SELECT * FROM a WHERE day < 'tomorrow'::date", "? a"),
    ("postgresql", "SELECT * FROM", "!"),
    ("sqlite", "SELECT date('now'), x FROM a", "? a"),
    ("sqlite", "SELECT [x] FROM [a] WHERE y = ? AND z LIKE '%%s'", "a"),
    ("mysql", "SELECT `x` FROM `shop`.`a` WHERE y REGEXP %s", "shop.a"),
]


def written(tables: Any) -> set[str]:
    return {f"{one.schema}.{one.name}" if one.schema else one.name for one in tables if one.schema != CTE}


@pytest.mark.parametrize(("vendor", "sql", "expected"), [pytest.param(*row, id=row[1][:60]) for row in WRITES])
def test_the_tables_that_a_statement_writes(vendor: str, sql: str, expected: str) -> None:
    found = tables_of(sql, vendor)

    assert written(found.writes) | ({"!"} if found.writes_anything else set()) == set(expected.split())


@pytest.mark.parametrize(("vendor", "sql", "expected"), [pytest.param(*row, id=row[1][:60]) for row in READS])
def test_the_tables_that_a_statement_reads(vendor: str, sql: str, expected: str) -> None:
    found = tables_of(sql, vendor)

    marks = {"!": found.unreadable, "?": found.volatile, "lock": found.locks}
    assert written(found.reads) | {mark for mark, is_so in marks.items() if is_so} == set(expected.split())
    assert not found.writes
    assert not found.writes_anything


def say(sql: str, params: Any = None, using: str = "default") -> Any:
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else None


@cached(600)
def title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


@cached(600)
def names() -> list[str]:
    return list(Author.objects.order_by("name").values_list("name", flat=True))


@cached(600)
def counted() -> int:
    rows = say("SELECT count(*) FROM zoo_book b JOIN zoo_author a ON a.id = b.author_id WHERE a.name <> %s", ["x"])
    return int(rows[0][0])


@cached(600)
def raw_titles() -> list[str]:
    return [book.title for book in Book.objects.raw("SELECT * FROM zoo_book ORDER BY title")]


@cached(600)
def with_raw_part() -> list[int]:
    inner = RawSQL("(SELECT count(*) FROM zoo_author)", ())
    return [book.n for book in Book.objects.annotate(n=inner).filter(status="draft")]


def result(function: Any, *args: Any) -> str:
    """Tell how a call was answered: hit, miss, …"""
    seen: list[str] = []
    hooks.subscribe(hooks.Lookup, listener := (lambda event: seen.append(event.result)))
    try:
        function(*args)
    finally:
        hooks.unsubscribe(hooks.Lookup, listener)
    return seen[0]


def invalidated(act: Any) -> set[str]:
    """Return the tags that a write tells."""
    seen: list[str] = []
    hooks.subscribe(hooks.Invalidated, listener := (lambda event: seen.extend(event.tags)))
    try:
        act()
    finally:
        hooks.unsubscribe(hooks.Invalidated, listener)
    return set(seen)


committed = pytest.mark.django_db(transaction=True)
on_postgres = pytest.mark.postgres


@committed
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE zoo_book SET title = 'new'",
        "update \"zoo_book\" set title = 'new' where id > 0",
        "WITH x AS (SELECT 1) UPDATE zoo_book SET title = 'new'",
    ],
)
def test_a_raw_write_is_seen_by_the_next_read(sql: str) -> None:
    book = make_book(title="old")
    title(book.pk)
    names()

    say(sql)

    assert title(book.pk) == "new"
    assert result(names) == "hit"


@committed
def test_in_a_transaction_it_is_told_at_the_commit() -> None:
    book = make_book(title="old")
    title(book.pk)

    with transaction.atomic():
        told_inside = invalidated(lambda: say("UPDATE zoo_book SET title = 'new'"))
        seen_inside = title(book.pk)

    assert told_inside == set()
    assert seen_inside == "new"
    assert title(book.pk) == "new"


@committed
def test_a_rollback_tells_nothing() -> None:
    book = make_book(title="old")
    title(book.pk)

    with transaction.atomic():
        say("UPDATE zoo_book SET title = 'new'")
        transaction.set_rollback(True)

    assert result(title, book.pk) == "hit"


@committed
@pytest.mark.parametrize(("begin", "end"), [("BEGIN", "COMMIT"), ("begin transaction", "END")])
def test_a_transaction_by_hand_is_told_at_its_commit(begin: str, end: str) -> None:
    book = make_book(title="old")
    title(book.pk)

    say(begin)
    inside = invalidated(lambda: say("UPDATE zoo_book SET title = 'new'"))
    inside |= invalidated(lambda: Author.objects.update(name="new"))
    told = invalidated(lambda: say(end))

    assert inside == set()
    assert told == {"zoo.book", "zoo.book#*", "zoo.book?*", "zoo.author", "zoo.author#*"}
    assert invalidated(lambda: Author.objects.update(name="newer")) == {"zoo.author", "zoo.author#*"}


@committed
def test_a_rollback_by_hand_tells_nothing() -> None:
    book = make_book(title="old")
    title(book.pk)

    say("BEGIN")
    say("UPDATE zoo_book SET title = 'new'")
    say("SAVEPOINT one")
    say("ROLLBACK TO SAVEPOINT one")
    say("ROLLBACK")

    assert result(title, book.pk) == "hit"
    assert invalidated(lambda: Author.objects.update(name="new")) == {"zoo.author", "zoo.author#*"}


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_another_database_is_told_by_its_own_name() -> None:
    tags = invalidated(lambda: say("DELETE FROM zoo_book", using="other"))

    assert tags == {"zoo.book@other", "zoo.book@other#*", "zoo.book@other?*"}


@committed
def test_many_rows_that_stop_at_a_refusal_are_told() -> None:
    make_author()
    names()

    rows = [(90, "kept"), (91, None), (92, "never")]
    with pytest.raises(IntegrityError), connection.cursor() as cursor:
        cursor.executemany("INSERT INTO zoo_author (id, name, email) VALUES (%s, %s, '')", rows)

    assert names() == list(Author.objects.order_by("name").values_list("name", flat=True))


@committed
def test_the_orms_own_statements_are_not_read() -> None:
    book = make_book()

    assert f"zoo.book#{book.pk}" in invalidated(lambda: Book.objects.filter(pk=book.pk).update(title="x"))
    assert "zoo.book#*" not in invalidated(lambda: Book.objects.filter(pk=book.pk).update(title="y"))
    assert "zoo.book#*" not in invalidated(book.delete)


@committed
@pytest.mark.parametrize("read", [counted, raw_titles, with_raw_part])
def test_raw_reads_are_kept_until_one_of_their_tables_is_written(read: Any) -> None:
    book = make_book(title="old")
    read()
    assert result(read) == "hit"

    Book.objects.filter(pk=book.pk).update(title="new", status="draft")

    assert result(read) != "hit"


@committed
def test_raw_parts_of_querysets_are_depended_on() -> None:
    make_book()
    before = with_raw_part()

    make_author()

    assert with_raw_part() == [n + 1 for n in before]


@committed
@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM no_model_at_all", "no plain table"),
        ("SELECT my_function(name) FROM zoo_author", "my_function() may read anything"),
    ],
)
def test_what_cannot_be_named_is_not_stored(sql: str, reason: str) -> None:
    say("CREATE TEMPORARY TABLE IF NOT EXISTS no_model_at_all (x integer)")
    _make_function()
    refused: list[str] = []
    hooks.subscribe(hooks.Refused, listener := (lambda event: refused.append(event.reason)))

    try:
        cached(600, name="unnamed")(lambda: say(sql))()
        cached(600, name="named", tags=("report",))(lambda: say(sql))()
    finally:
        hooks.unsubscribe(hooks.Refused, listener)

    (told,) = refused
    assert reason in told


@committed
def test_what_changes_by_itself_is_stored_only_where_that_is_said() -> None:
    make_author()
    sql = "SELECT CURRENT_TIMESTAMP, name FROM zoo_author"
    plain = cached(600, name="plain")(lambda: say(sql))
    named = cached(600, name="named", tags=("report",))(lambda: say(sql))
    kept = cached(600, name="kept", volatile=True)(lambda: say(sql))

    assert [result(one) for one in (plain, named, kept)] == ["miss"] * 3
    assert [result(one) for one in (plain, named, kept)] == ["miss", "miss", "hit"]

    make_author()

    assert result(kept) != "hit"


def _make_function() -> None:
    if connection.vendor == "sqlite":
        connection.connection.create_function("my_function", 1, str.upper)
    else:
        say("CREATE OR REPLACE FUNCTION my_function(text) RETURNS text LANGUAGE sql STABLE AS 'SELECT upper($1)'")


@committed
def test_without_the_parser_a_write_is_the_database_and_a_read_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    read = cached(600, name="no_parser")(lambda: say("SELECT 1 FROM zoo_author -- without a parser"))
    read()

    assert result(read) == "miss"
    assert invalidated(lambda: say("DELETE FROM zoo_author -- without a parser")) == {"db:default"}


@committed
def test_flushing_tells_the_tables() -> None:
    make_author()
    names()
    statements = connection.ops.sql_flush(no_style(), ["zoo_author"], allow_cascade=connection.vendor == "postgresql")

    connection.ops.execute_sql_flush(statements)

    assert names() == []


@committed
@on_postgres
def test_copy_is_seen_though_it_passes_no_wrapper() -> None:
    names()

    with connection.cursor() as cursor, cursor.copy("COPY zoo_author (id, name, email) FROM STDIN") as copy:
        copy.write_row((77, "copied", ""))

    assert names() == ["copied"]
    with connection.cursor() as cursor, cursor.copy("COPY zoo_author (name) TO STDOUT") as copy:
        assert list(copy.rows()) == [("copied",)]


@committed
@on_postgres
def test_functions_are_known_by_the_catalogue() -> None:
    say("CREATE OR REPLACE FUNCTION rename() RETURNS void LANGUAGE sql AS 'UPDATE zoo_author SET name = ''renamed'''")
    say("CREATE OR REPLACE FUNCTION pure(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1'")
    make_author(name="old")
    names()
    reads = cached(600, name="pure")(lambda: say("SELECT pure(name), to_char(id, '9') FROM zoo_author"))
    reads()

    assert result(reads) == "hit"
    assert invalidated(lambda: say("SELECT pure(name), pg_sleep(0) FROM zoo_author")) == set()
    assert invalidated(lambda: say("SELECT rename()")) == {"db:default"}
    assert names() == ["renamed"]
    assert invalidated(lambda: say("SELECT setval(pg_get_serial_sequence('zoo_author', 'id'), 1000)")) == set()


@committed
@on_postgres
def test_procedures_are_seen() -> None:
    say("CREATE OR REPLACE FUNCTION called() RETURNS void LANGUAGE sql AS 'UPDATE zoo_author SET name = ''called'''")
    make_author(name="old")
    names()

    with connection.cursor() as cursor:
        cursor.callproc("called")

    assert names() == ["called"]
