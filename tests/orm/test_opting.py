"""Models opted in by `CACHEKIT["MODELS"]`, and managers with `queries=`: every query answers from the cache."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import models, transaction
from django.db.models import Count, Prefetch, Sum

from cachekit import CachedManager, CachedQuerySet, cached, uncached
from cachekit.orm.opting import Opted
from tests.orm.world import ADA, BOB, CLUB, NONE, ONE, RED, SHELF, THREE, TWO, populate
from tests.zoo.models import ActiveQuerySet, Author, Book, Club, Novel, Shelf, Tag

pytestmark = pytest.mark.django_db(transaction=True)
CACHE = "memory"


@pytest.fixture
def opt_in(settings: Any) -> Callable[..., None]:
    """`opt_in({"zoo.book": {"queries": 60}})` is what a project writes."""

    def say(models_: dict[str, Any]) -> None:
        settings.CACHEKIT = {**settings.CACHEKIT, "MODELS": models_}

    return say


QUERIES: dict[str, Callable[[], Any]] = {
    "rows": lambda: [book.title for book in Book.objects.order_by("pk")],
    "filter": lambda: [book.pk for book in Book.objects.filter(status="draft").order_by("pk")],
    "get": lambda: Book.objects.get(title="one").pk,
    "first": lambda: Book.objects.all().first(),
    "count": lambda: Book.objects.filter(author=ADA).count(),
    "exists": lambda: Book.objects.filter(status="sold").exists(),
    "aggregate": lambda: Book.objects.aggregate(Sum("stock")),
    "values": lambda: list(Book.objects.values_list("title", flat=True).order_by("pk")),
    "annotate": lambda: list(Book.objects.annotate(n=Count("tags")).order_by("pk").values_list("n")),
    "proxy": lambda: [novel.title for novel in Novel.objects.order_by("pk")],
    "reverse": lambda: [book.title for book in Author(pk=ADA).books.order_by("pk")],
    "many to many": lambda: [book.title for book in Tag(pk=RED).books.all()],
    "many to many, sticky": lambda: [book.title for book in Shelf(pk=SHELF).books.filter(author=BOB)],
    "raw": lambda: [book.title for book in Book.objects.raw("SELECT * FROM zoo_book ORDER BY id")],
}


def test_every_query_of_a_model_that_is_opted_in_answers_from_the_cache(
    opt_in: Any, django_assert_num_queries: Any
) -> None:
    populate()
    plain = {name: query() for name, query in QUERIES.items()}
    opt_in({"zoo.Book": {"queries": 60}})

    assert {name: query() for name, query in QUERIES.items()} == plain
    with django_assert_num_queries(0):
        assert {name: query() for name, query in QUERIES.items()} == plain
    with uncached(), django_assert_num_queries(len(QUERIES)):
        assert {name: query() for name, query in QUERIES.items()} == plain

    Book.objects.filter(pk=ONE).delete()

    with uncached():
        expected = {name: settled(query) for name, query in QUERIES.items()}
    assert {name: settled(query) for name, query in QUERIES.items()} == expected


def settled(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Book.DoesNotExist:
        return "gone"


def test_what_was_opted_in_can_be_taken_back_and_an_app_stands_for_its_models(
    opt_in: Any, django_assert_num_queries: Any
) -> None:
    populate()
    opt_in({"zoo": {"queries": True}, "zoo.author": {"rows": True}})

    with django_assert_num_queries(3):
        for _ in range(2):
            list(Tag.objects.all())
            list(Author.objects.all())
    with django_assert_num_queries(1):
        for _ in range(2):
            assert Author.objects.get(pk=ADA).name == "Ada"

    opt_in({})

    assert type(Tag.objects) is models.Manager
    with django_assert_num_queries(2):
        for _ in range(2):
            list(Tag.objects.all())


def test_rows_by_the_setting_serve_foreign_keys_too(opt_in: Any, django_assert_num_queries: Any) -> None:
    populate()
    opt_in({"zoo.author": {"rows": 60, "queries": 60}})
    Author.objects.get(pk=ADA)
    book = Book.objects.get(pk=ONE)

    with django_assert_num_queries(0):
        assert book.author.name == "Ada"
        assert Author.objects.in_bulk([ADA])[ADA].name == "Ada"
    Author.objects.filter(pk=ADA).update(name="Adele")
    assert Book.objects.get(pk=ONE).author.name == "Adele"


def test_a_projects_own_manager_keeps_its_methods_and_what_it_hides(
    opt_in: Any, django_assert_num_queries: Any
) -> None:
    populate()
    opt_in({"zoo.shelf": {"queries": 60}})

    for _ in range(2):
        assert [shelf.name for shelf in Shelf.objects.open()] == ["top"]
        assert [shelf.name for shelf in Shelf.objects.all()] == ["top"]
    with django_assert_num_queries(0):
        assert isinstance(Shelf.objects.open(), ActiveQuerySet)
        assert list(pickle.loads(pickle.dumps(Shelf.objects.all()))) == list(Shelf.objects.all())
    Shelf.objects.update(closed=True)
    assert not Shelf.objects.open()


def test_a_manager_that_names_its_queryset_itself_is_followed(opt_in: Any, django_assert_num_queries: Any) -> None:
    populate()

    class Named(models.Manager["Club"]):
        def get_queryset(self) -> Any:
            return models.QuerySet(self.model, using=self._db).exclude(name="hidden")

    with_manager = Club.objects
    Club._meta.local_managers[0].__class__ = Named
    Club._meta._expire_cache()  # type: ignore[attr-defined]
    try:
        Club.objects.create(name="hidden")
        opt_in({"zoo.club": {"queries": 60, "rows": True}})
        for _ in range(2):
            assert [club.pk for club in Club.objects.all()] == [CLUB]
        with django_assert_num_queries(0):
            assert isinstance(Club.objects.all(), CachedQuerySet)
        with pytest.raises(Club.DoesNotExist):
            Club.objects.get(pk=Club._base_manager.get(name="hidden").pk)
    finally:
        opt_in({})
        Club._meta.local_managers[0].__class__ = type(with_manager)
        Club._meta._expire_cache()  # type: ignore[attr-defined]


def test_models_of_others_are_opted_in_and_migrations_see_nothing_of_it(
    opt_in: Any, django_assert_num_queries: Any
) -> None:
    user = User.objects.create_user("ada", password="secret")
    opt_in({"auth.user": {"rows": True, "queries": 60}})
    assert issubclass(type(User.objects), Opted)

    User.objects.get(pk=user.pk)
    with django_assert_num_queries(0):
        assert User.objects.get(pk=user.pk) == user
    assert authenticate(username="ada", password="secret") == user
    with django_assert_num_queries(0):
        assert authenticate(username="ada", password="secret") == user
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert authenticate(username="ada", password="secret") is None

    call_command("makemigrations", "--check", "--dry-run", stdout=(said := StringIO()))
    assert "No changes" in said.getvalue()


def test_writes_and_transactions_see_the_database(opt_in: Any) -> None:
    populate()
    opt_in({"zoo.book": {"queries": 60}, "zoo.tag": {"queries": 60}})
    list(Book.objects.filter(title="new"))

    assert Book.objects.get_or_create(title="new", defaults={"author_id": ADA})[1] is True
    assert Book.objects.update_or_create(title="new", defaults={"author_id": BOB})[1] is False
    with transaction.atomic():
        assert Book.objects.select_for_update().get(title="new").author_id == BOB
        Book.objects.filter(title="new").update(title="newer")
        assert not Book.objects.filter(title="new").exists()
        assert Book.objects.filter(title="newer").exists()
        transaction.set_rollback(True)
    assert Book.objects.filter(title="new").delete()[0] == 1
    Book.objects.get(pk=ONE).tags.set([RED])
    assert [tag.pk for tag in Book.objects.get(pk=ONE).tags.all()] == [RED]
    book = Book.objects.get(pk=TWO)
    Book.objects.filter(pk=TWO).update(title="due")
    book.refresh_from_db()
    assert book.title == "due"


def test_prefetched_chunks_are_kept_one_by_one(opt_in: Any, django_assert_num_queries: Any) -> None:
    populate()
    opt_in({"zoo.book": {"queries": 60}})
    drafts = Prefetch("books", Book.objects.filter(status="draft"), to_attr="drafts")
    authors = Author.objects.order_by("pk").prefetch_related("books", drafts)

    def shown(found: Any) -> list[Any]:
        return [(one.name, sorted(book.title for book in one.books.all()), len(one.drafts)) for one in found]

    first = shown(authors.all()[:2])

    with django_assert_num_queries(1):  # the authors
        assert shown(authors.all()[:2]) == first
    assert shown(authors.iterator(chunk_size=2)) == [*first, ("Eve", [], 0)]
    Book.objects.create(pk=NONE, title="new", author_id=ADA)
    assert shown(authors.all()[:2])[0] == ("Ada", ["new", "one", "two"], 2)


def test_what_contains_such_queries_depends_on_them(opt_in: Any) -> None:
    populate()
    opt_in({"zoo.book": {"queries": 60}})
    titles = cached(60, name="opted")(lambda: [book.title for book in Book.objects.filter(status="draft")])

    for _ in range(2):
        assert sorted(titles()) == ["one", "three"]
    Book.objects.filter(pk=THREE).update(title="tre")
    assert sorted(titles()) == ["one", "tre"]


async def test_awaited_queries_answer_from_the_cache(opt_in: Any) -> None:
    from asgiref.sync import sync_to_async

    await sync_to_async(populate)()
    opt_in({"zoo.book": {"queries": 60}})

    for title in ("one", "uno"):
        for _ in range(2):
            assert [book.title async for book in Book.objects.filter(pk=ONE)] == [title]
            assert (await Book.objects.aget(pk=ONE)).title == title
            assert await Book.objects.filter(title=title).acount() == 1
        await Book.objects.filter(pk=ONE).aupdate(title="uno")


def test_a_manager_may_say_so_itself(django_assert_num_queries: Any) -> None:
    class Own(models.Model):
        """Its table is that of books."""

        title = models.CharField(max_length=200)
        author = models.ForeignKey(Author, on_delete=models.DO_NOTHING, related_name="own")
        objects = CachedManager(queries={"timeout": 60}, rows=True)

        class Meta:
            app_label = "zoo"
            managed = False
            db_table = "zoo_book"

    try:
        populate()
        ada: Any = Author(pk=ADA)
        reads: list[Callable[[], Any]] = [
            lambda: Own.objects.get(pk=ONE).title,
            lambda: [one.title for one in Own.objects.filter(title="one")],
            lambda: sorted(one.title for one in ada.own.all()),
        ]
        first = [read() for read in reads]
        with django_assert_num_queries(0):
            assert [read() for read in reads] == first
        Book.objects.filter(pk=ONE).update(title="uno")
        assert [read() for read in reads] == ["uno", [], ["two", "uno"]]
    finally:
        Own._meta.apps.all_models["zoo"].pop("own")
        Own._meta.apps.clear_cache()
