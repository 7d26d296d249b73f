"""`cached_query`, `.cached()` and managers: results like Django's, from the cache."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, models, transaction
from django.db.models import (
    Avg,
    CharField,
    Count,
    ExpressionWrapper,
    F,
    FloatField,
    IntegerField,
    Max,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    Sum,
    Value,
)
from django.db.models.functions import TruncDay
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject, lazy as django_lazy

from cachekit import (
    CachedManager,
    CachedQuerySet,
    acached_query,
    cached,
    cached_query,
    invalidate,
    registry,
    tenant,
    uncached,
)
from tests.orm.world import ADA, BLUE, BOB, EVE, NONE, ONE, RED, THREE, TWO, populate
from tests.zoo.kept import Sheet
from tests.zoo.models import Author, Book, Novel, Tag

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _world() -> None:
    populate()


def books() -> Any:
    """Return a queryset of books that answers from the cache."""
    return CachedQuerySet(Book).cached(300)


def test_rows_dicts_and_tuples_are_kept(django_assert_num_queries: Any) -> None:
    shapes: list[Callable[[], Any]] = [
        lambda: Book.objects.order_by("pk"),
        lambda: Book.objects.order_by("pk").values("title"),
        lambda: Book.objects.order_by("pk").values_list("title"),
        lambda: Book.objects.order_by("pk").values_list("title", flat=True),
        lambda: Book.objects.order_by("pk").only("title"),
        lambda: Book.objects.order_by("pk")[1:3],
        lambda: Novel.objects.order_by("pk"),
        lambda: Book.objects.filter(status="draft").select_related("author").prefetch_related("tags"),
    ]

    first = [cached_query(shape(), 300) for shape in shapes]

    assert first == [list(shape()) for shape in shapes]
    with django_assert_num_queries(0):
        assert [cached_query(shape(), timeout=300) for shape in shapes] == first
        assert {type(one) for one in cached_query(Novel.objects.order_by("pk"))} == {Novel}
        assert [tag.name for tag in cached_query(shapes[-1]())[0].tags.all()]
    Book.objects.filter(pk=ONE).update(title="uno")
    assert cached_query(shapes[3]())[0] == "uno"


def test_querysets_that_only_look_alike_have_entries_of_their_own() -> None:
    ints = Book.objects.annotate(n=ExpressionWrapper(F("stock"), output_field=IntegerField())).values_list(
        "n", flat=True
    )
    floats = Book.objects.annotate(n=ExpressionWrapper(F("stock"), output_field=FloatField())).values_list(
        "n", flat=True
    )
    named = Author.objects.filter(pk=ADA)

    assert {type(one) for one in cached_query(ints)} == {int}
    assert {type(one) for one in cached_query(floats)} == {float}
    assert len(cached_query(named.prefetch_related(Prefetch("books", Book.objects.all(), to_attr="some")))[0].some) == 2
    drafts = Book.objects.filter(status="draft")
    assert len(cached_query(named.prefetch_related(Prefetch("books", drafts, to_attr="some")))[0].some) == 1
    assert cached_query(Book.objects.filter(title=Value("1"))) == cached_query(Book.objects.filter(title="1")) == []


def test_clones_answer_from_the_cache(django_assert_num_queries: Any) -> None:
    questions: list[Callable[[Any], Any]] = [
        lambda all_: list(all_.filter(status="draft").order_by("title")),
        lambda all_: all_.get(pk=ONE),
        lambda all_: all_.order_by("title").first(),
        lambda all_: all_.order_by("title").last(),
        lambda all_: all_.latest("price"),
        lambda all_: all_.in_bulk([ONE, TWO]),
        lambda all_: all_.count(),
        lambda all_: all_.filter(status="sold").exists(),
        lambda all_: all_.order_by("title")[1],
        lambda all_: all_.contains(Book(pk=ONE)),
        lambda all_: all_.aggregate(Sum("stock"), most=Max("price")),
        lambda all_: bool(all_.exclude(title="one")),
        lambda all_: len(all_.filter(Q(author=ADA) | Q(author=BOB))),
        lambda all_: list(all_.values_list("title", flat=True).order_by("title")),
    ]

    plain = [question(Book.objects.all()) for question in questions]

    assert [question(books()) for question in questions] == plain
    with django_assert_num_queries(0):
        assert [question(books()) for question in questions] == plain
    Book.objects.filter(pk=THREE).delete()
    assert [question(books()) for question in questions] == [question(Book.objects.all()) for question in questions]
    with pytest.raises(Book.DoesNotExist):
        books().get(pk=NONE)


def test_aggregates_that_only_look_alike_have_entries_of_their_own() -> None:
    priced = Book.objects.filter(price__gt=8)
    shapes: list[dict[str, Any]] = [
        {"n": Max("author__name")},
        {"n": Max("editor__name")},
        {"m": Max("editor__name")},
        {"n": Count("pk", filter=Q(pk__in=priced))},
        {"n": Count("pk", filter=Q(pk__in=priced.filter(title="four")))},
        {"n": Max(Subquery(Tag.objects.order_by("name").values("name")[:1]))},
        {"n": Max(Subquery(Tag.objects.order_by("-name").values("name")[:1]))},
        {"n": Max(Subquery(Author.objects.filter(pk=OuterRef("author")).values("name")[:1]))},
        {"n": Max(Value("a"), output_field=CharField())},
        {"n": Max(Value("b"), output_field=CharField())},
        {"n": Sum("stock"), "m": F("n") * 2},
        {"n": Sum("stock", default=0)},
    ]

    for _ in range(2):
        for shape in shapes:
            assert books().aggregate(**shape) == Book.objects.aggregate(**shape)
    counted = CachedQuerySet(Author).cached(300).annotate(n=Count("books"))
    assert [counted.aggregate(Avg("n")) for _ in range(2)] == [
        Author.objects.annotate(n=Count("books")).aggregate(Avg("n"))
    ] * 2


def test_writes_and_locks_ask_the_database(django_assert_num_queries: Any) -> None:
    list(books())
    list(books().filter(title="new"))

    with django_assert_num_queries(1):
        list(books().iterator())
    with transaction.atomic(), django_assert_num_queries(1):
        list(books().select_for_update())
    assert books().get_or_create(title="new", defaults={"author_id": ADA})[1] is True
    assert books().filter(title="new").delete()[0] == 1
    assert books().filter(title="one").update(stock=9) == 1
    assert books().get(title="one").stock == 9


def test_a_manager_answers_from_the_cache_when_asked(django_assert_num_queries: Any) -> None:
    class Shown(models.Model):
        """Has a CachedManager; its table is that of books."""

        title = models.CharField(max_length=200)
        objects = CachedManager()

        class Meta:
            app_label = "zoo"
            managed = False
            db_table = "zoo_book"

    try:
        first = list(Shown.objects.cached(60).filter(pk=ONE))
        with django_assert_num_queries(0):
            assert list(Shown.objects.cached(60).filter(pk=ONE)) == first
        with django_assert_num_queries(1):
            list(Shown.objects.filter(pk=ONE))
        Book.objects.filter(pk=ONE).update(title="uno")
        assert Shown.objects.cached(60).get(pk=ONE).title == "uno"
        Shown.objects.filter(pk=ONE).update(title="due")
        assert cached_query(Book.objects.filter(pk=ONE))[0].title == "due"
    finally:
        Shown._meta.apps.all_models["zoo"].pop("shown")
        Shown._meta.apps.clear_cache()


def test_rows_point_back_to_whom_they_were_asked_of(django_assert_num_queries: Any) -> None:
    ada = Author.objects.get(pk=ADA)
    related = books()
    related._known_related_objects = {Book._meta.get_field("author"): {ada.pk: ada}}

    for _ in range(2):
        assert all(book.author is ada for book in related.all().filter(author=ada))


def test_options_and_tags(django_assert_num_queries: Any) -> None:
    def read() -> list[Author]:
        return cached_query(Author.objects.filter(pk=EVE), 60, tags=("mine",))

    read()
    with django_assert_num_queries(0):
        read()
    invalidate("mine")
    with django_assert_num_queries(1):
        read()
    invalidate("query:zoo.author")
    with django_assert_num_queries(1):
        read()


def test_a_query_inside_a_function_hands_its_dependencies_on(django_assert_num_queries: Any) -> None:
    @cached(300)
    def titles() -> list[str]:
        return [book.title for book in cached_query(Book.objects.filter(status="draft").order_by("pk"))]

    cached_query(Book.objects.filter(status="draft").order_by("pk"))
    titles()
    with django_assert_num_queries(0):
        assert titles() == ["one", "three"]
    Book.objects.filter(pk=ONE).update(title="uno")
    assert titles() == ["uno", "three"]


def test_each_hit_is_a_copy() -> None:
    first = cached_query(Book.objects.filter(pk=ONE))[0]
    first.title = "mine"

    assert cached_query(Book.objects.filter(pk=ONE))[0].title == "one"
    assert cached_query(Book.objects.filter(pk=ONE))[0]._state.db == "default"


def test_empty_results_are_kept_until_a_row_appears(django_assert_num_queries: Any) -> None:
    nothing = Book.objects.filter(status="sold")
    assert cached_query(nothing) == cached_query(Book.objects.none()) == []
    with django_assert_num_queries(0):
        assert cached_query(nothing) == []
    Book.objects.create(pk=NONE, title="x", author_id=ADA, status="sold")
    assert len(cached_query(nothing)) == 1


def test_raw_querysets_are_kept_until_one_of_their_tables_is_written(django_assert_num_queries: Any) -> None:
    sql = "SELECT b.*, a.name AS writer FROM zoo_book b JOIN zoo_author a ON a.id = b.author_id WHERE b.id IN (%s, %s)"
    shapes: list[Callable[[], Any]] = [
        lambda: list(books().raw(sql, [ONE, TWO])),
        lambda: list(books().raw(sql, [ONE, THREE])),
        lambda: list(books().raw("SELECT * FROM zoo_book WHERE title = %(title)s", {"title": "one"})),
        lambda: list(books().raw("SELECT * FROM zoo_book").using("default").prefetch_related("tags")),
        lambda: cached_query(Book.objects.raw(sql, [TWO, ONE]), 60),
        lambda: [tag.name for one in books().prefetch_related("tags").raw(sql, [ONE, ONE]) for tag in one.tags.all()],
    ]

    first = [shape() for shape in shapes]

    assert {book.writer for book in first[0]} == {"Ada"}
    with django_assert_num_queries(0):
        assert [shape() for shape in shapes] == first
    with django_assert_num_queries(1):
        list(books().raw("SELECT * FROM zoo_book").iterator())
    Author.objects.filter(pk=ADA).update(name="Adele")
    assert {book.writer for book in shapes[0]()} == {"Adele"}
    with django_assert_num_queries(2):
        for _ in range(2):
            list(books().raw("UPDATE zoo_book SET stock = stock + 1 RETURNING *"))


def test_what_language_and_time_zone_change_is_kept_apart(django_assert_num_queries: Any) -> None:
    class Spoken(models.CharField):  # type: ignore[type-arg]
        """Reads what the visitor reads."""

        def from_db_value(self, value: str, expression: Any, connection: Any) -> str:
            return f"{value} in {translation.get_language()}"

    class Sign(models.Model):
        title = Spoken(max_length=200)
        objects = CachedManager(rows=True)

        class Meta:
            app_label = "zoo"
            managed = False
            db_table = "zoo_book"

    spoken: list[Callable[[], Any]] = [
        lambda: [one.title for one in Sign.objects.cached(60).filter(pk=ONE)],
        lambda: list(Sign.objects.cached(60).filter(pk=ONE).values_list("title", flat=True)),
        lambda: [Sign.objects.get(pk=ONE).title],
        lambda: [Sign.objects.cached(60).filter(pk=ONE).aggregate(n=Max("title"))["n"]],
    ]
    Sheet.objects.create(at=datetime.datetime(2024, 1, 1, 23, 30, tzinfo=datetime.UTC))
    sheets: Any = CachedQuerySet(Sheet).cached(60)
    moved: list[Callable[[], Any]] = [
        lambda: list(sheets.dates("at", "day")),
        lambda: list(sheets.datetimes("at", "hour")),
        lambda: list(sheets.annotate(n=TruncDay("at")).values_list("n")),
        lambda: sheets.filter(at__hour=23).count(),
        lambda: sheets.filter(at__date=datetime.date(2024, 1, 2)).exists(),
    ]

    try:
        for _ in range(2):
            for language in ("en", "de"):
                with translation.override(language):
                    assert [read() for read in spoken] == [[f"one in {language}"]] * len(spoken)
        for zone in ("UTC", "Asia/Tokyo", "UTC"):
            with timezone.override(ZoneInfo(zone)):
                with uncached():
                    expected = [read() for read in moved]
                assert [read() for read in moved] == expected
                with django_assert_num_queries(0):
                    assert [read() for read in moved] == expected
    finally:
        Sign._meta.apps.all_models["zoo"].pop("sign")
        Sign._meta.apps.clear_cache()


def test_values_that_are_only_known_later_make_keys_as_what_they_are(django_assert_num_queries: Any) -> None:
    status = ["draft"]
    lazy: Any = SimpleLazyObject(lambda: Author.objects.get(pk=ADA))
    late: Any = django_lazy(lambda: status[0], str)

    for _ in range(2):
        assert books().filter(author=lazy).count() == 2
        assert books().filter(status=late()).count() == 2
    status[0] = "sold"
    assert books().filter(status=late()).count() == 0
    with django_assert_num_queries(0):
        assert books().filter(author=lazy).count() == 2


def test_a_relation_compared_with_instances_has_an_entry() -> None:
    one = Book.objects.get(pk=ONE)
    authors: Any = CachedQuerySet(Author).cached(60)

    for _ in range(2):
        assert [a.pk for a in authors.filter(books__in=[one])] == [ADA]
        assert [a.pk for a in authors.filter(books=one)] == [ADA]
        assert [tag.pk for tag in CachedQuerySet(Tag).cached(60).filter(books__in=[one]).order_by("pk")] == [RED, BLUE]


@pytest.mark.postgres
def test_array_and_json_lookups_have_entries_of_their_own(django_assert_num_queries: Any) -> None:
    from django.contrib.postgres.fields import ArrayField

    class Poll(models.Model):
        votes = ArrayField(models.IntegerField())
        data = models.JSONField(default=dict)
        objects = CachedManager()

        class Meta:
            app_label = "zoo"

    questions: list[Callable[[Any], Any]] = [
        lambda polls: polls.filter(votes__contains=[1]).count(),
        lambda polls: polls.filter(votes__overlap=[2, 3]).count(),
        lambda polls: polls.filter(votes__0=1).count(),
        lambda polls: polls.filter(votes__len=2).count(),
        lambda polls: polls.filter(votes=[1, 2]).count(),
        lambda polls: polls.filter(data__a__b=1).count(),
        lambda polls: polls.filter(data__contains={"a": {}}).count(),
        lambda polls: polls.filter(data__has_any_keys=["a", "c"]).count(),
        lambda polls: list(polls.values_list("votes", "data")),
    ]

    try:
        with connection.schema_editor() as editor:
            editor.create_model(Poll)
        registry._models.cache_clear()
        Poll.objects.create(votes=[1, 2], data={"a": {"b": 1}})
        for _ in range(2):
            plain = [question(Poll._base_manager.all()) for question in questions]
            assert [question(Poll.objects.cached(60)) for question in questions] == plain
            with django_assert_num_queries(0):
                assert [question(Poll.objects.cached(60)) for question in questions] == plain
            Poll.objects.create(votes=[3], data={"c": 1})
    finally:
        Poll._meta.apps.all_models["zoo"].pop("poll")
        Poll._meta.apps.clear_cache()
        registry._models.cache_clear()
        with connection.schema_editor() as editor:
            editor.delete_model(Poll)


def test_the_tenant_and_the_database_are_part_of_the_key(settings: Any, django_assert_num_queries: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "TENANT": "tests.orm.test_rows.nobody"}

    for name in ("a", "b"):
        with tenant(name), django_assert_num_queries(1):
            for _ in range(2):
                books().filter(title="one").count()


async def test_awaited_queries_hit_too() -> None:
    questions: list[Callable[[Any], Any]] = [
        lambda rows: _listed(rows.filter(status="draft").order_by("pk")),
        lambda rows: rows.aget(pk=ONE),
        lambda rows: rows.acount(),
        lambda rows: rows.filter(status="sold").aexists(),
        lambda rows: rows.order_by("pk").afirst(),
        lambda rows: rows.order_by("pk").alast(),
        lambda rows: rows.aearliest("price"),
        lambda rows: rows.alatest("price"),
        lambda rows: rows.ain_bulk([ONE, TWO]),
        lambda rows: rows.acontains(Book(pk=ONE)),
        lambda rows: rows.aaggregate(n=Sum("stock"), twice=F("n") * 2),
        lambda rows: _listed(rows.annotate(n=Count("tags")).order_by("pk").values_list("n")),
        lambda rows: acached_query(Book.objects.filter(author=ADA).order_by("pk"), 60),
        lambda rows: acached_query(Book.objects.raw("SELECT * FROM zoo_book ORDER BY id"), 60),
        lambda rows: acached_query(Book.objects.annotate(n=Count("tags")).order_by("pk"), 60),
    ]
    asked: list[str] = []

    def note(execute: Any, sql: str, *args: Any) -> Any:
        asked.append(sql)
        return execute(sql, *args)

    def watch() -> None:
        connection.execute_wrappers.append(note)

    await sync_to_async(watch)()
    plain = [await question(CachedQuerySet(Book)) for question in questions]
    assert [await question(books()) for question in questions] == plain
    asked.clear()
    assert [await question(books()) for question in questions] == plain
    assert asked == []
    await Book.objects.filter(pk=ONE).aupdate(title="uno", status="sold")
    for question in questions:
        assert await question(books()) == await question(CachedQuerySet(Book))
    await sync_to_async(lambda: connection.execute_wrappers.remove(note))()


async def _listed(queryset: Any) -> list[Any]:
    return [one async for one in queryset]


async def test_a_model_or_a_manager_stands_for_all_its_rows() -> None:
    shelf = await Author.objects.aget(pk=ADA)

    def found() -> list[list[int]]:
        asked: list[Any] = [Book.objects.all(), Book.objects, Book, shelf.books]
        return [sorted(book.pk for book in cached_query(one, 300)) for one in asked]

    everything, manager, model, related = await sync_to_async(found)()

    assert everything == manager == model == sorted(book.pk for book in await acached_query(Book, 300))
    assert related == sorted([pk async for pk in Book.objects.filter(author=ADA).values_list("pk", flat=True)])
    assert 0 < len(related) < len(model)


@pytest.mark.parametrize("wrong", [[1, 2], "zoo.Book", Count, None])
async def test_what_asks_nothing_of_the_database_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"takes a queryset: cached_query\(Product.objects.filter.* @cached"):
        cached_query(wrong, 300)
    with pytest.raises(TypeError, match="takes a queryset"):
        await acached_query(wrong, 300)
