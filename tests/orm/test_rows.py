"""Rows by primary key: the same instances as Django's, from the cache, and only where nothing could tell otherwise."""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import connection, models, transaction
from django.db.models.signals import post_init
from django.test.utils import CaptureQueriesContext

from cachekit import CachedManager, CachedQuerySet, cached, invalidate, tenant, uncached
from cachekit.near import near_for
from cachekit.orm.forward import KeptForeignKey
from cachekit.orm.rows import _columns
from cachekit.stores import store_for
from tests.orm.world import BOX, CAFE, ONE, PARK, populate
from tests.zoo.builders import make_author
from tests.zoo.kept import Coin, Draft, Sheet
from tests.zoo.models import Country, Cover, Parcel, Place, Restaurant

pytestmark = pytest.mark.django_db(transaction=True)

FULL: dict[str, Any] = {
    "data": {"deep": [1, {"er": None}], "text": "é"},
    "price": Decimal("12.50"),
    "day": datetime.date(2024, 2, 29),
    "at": datetime.datetime(2024, 2, 29, 12, 30, 1, 250, tzinfo=datetime.UTC),
    "clock": datetime.time(23, 59, 59, 999),
    "span": datetime.timedelta(days=-1, microseconds=7),
    "ratio": 1 / 3,
    "is_open": True,
    "blob": b"\x00\xff",
    "scan": "a/b.txt",
}


def columns(instance: Any) -> dict[str, Any]:
    """Return what an instance holds, with the types of its values."""
    held = {name: (type(value), value) for name, value in vars(instance).items() if name != "_state"}
    return {**held, "_state": (instance._state.adding, instance._state.db)}


def kept(model: Any, kind: type[CachedManager] = CachedManager, rows: Any = 60) -> Any:
    """Return a manager that keeps rows of a model that does not say so itself."""
    manager = kind(rows=rows)
    manager.model, manager.name = model, "kept"
    return manager


class LiveManager(CachedManager):
    """Hides what is not open."""

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(is_open=True)


class LiveQuerySet(CachedQuerySet[Sheet]):
    """Hides what is not open, where it filters."""

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        return super().filter(*args, **kwargs).exclude(is_open=False)


class HidingManager(models.Manager[Sheet]):
    """Hides what is not open, and knows nothing of caches."""

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(is_open=True)


class MixedManager(CachedManager, HidingManager):
    """Hides what its second base hides."""


class ReadableQuerySet(CachedQuerySet[Sheet]):
    """Adds a method and hides nothing."""

    def short(self) -> Any:
        return self.filter(title__lt="z")


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def plainly(model: Any) -> Any:
    """Return a queryset of Django's own."""
    return models.QuerySet(model)


@pytest.fixture
def sheet() -> Sheet:
    made: Sheet = Sheet.objects.create(title="one", **FULL)
    return made


def test_a_row_is_asked_for_once_and_like_djangos(sheet: Sheet, django_assert_num_queries: Any) -> None:
    empty = Sheet.objects.create(title="none")

    for pk in (sheet.pk, empty.pk):
        with django_assert_num_queries(1):
            first = Sheet.objects.get(pk=pk)
        with django_assert_num_queries(0):
            again = [
                Sheet.objects.get(pk=pk),
                Sheet.objects.get(id=pk),
                Sheet.objects.all().get(pk=pk),
                Sheet._default_manager.get(pk=pk),
                Sheet.objects.using("default").get(pk=pk),
                Sheet.objects.db_manager("default").get(pk=pk),
            ]
        expected = plainly(Sheet).get(pk=pk)
        assert all(columns(one) == columns(expected) for one in (first, *again))
        assert len({id(one) for one in (first, *again)}) == 7

    first, second = Sheet.objects.get(pk=sheet.pk), Sheet.objects.get(pk=sheet.pk)

    first.data["deep"].append("mine")
    second.title = "mine"

    assert Sheet.objects.get(pk=sheet.pk).data == FULL["data"]
    assert second.data == FULL["data"]
    assert Sheet.objects.get(pk=sheet.pk).title == "one"


def test_an_instance_from_the_cache_can_be_saved_refreshed_and_deleted(sheet: Sheet) -> None:
    Sheet.objects.get(pk=sheet.pk)
    kept = Sheet.objects.get(pk=sheet.pk)

    kept.title = "two"
    kept.save()

    assert Sheet.objects.get(pk=sheet.pk).title == "two"
    plainly(Sheet).filter(pk=sheet.pk).update(title="three")
    kept.refresh_from_db()
    assert kept.title == "three"
    kept.delete()
    assert not plainly(Sheet).exists()


def test_writes_of_every_kind_are_seen_at_once_and_those_to_other_rows_are_nothing(
    sheet: Sheet, django_assert_num_queries: Any
) -> None:
    other = Sheet.objects.create(title="other")
    writes: list[Callable[[], Any]] = [
        lambda: Sheet.objects.filter(pk=sheet.pk).update(title="a"),
        lambda: Sheet(pk=sheet.pk, title="b").save(),
        lambda: Sheet.objects.bulk_update([Sheet(pk=sheet.pk, title="c")], ["title"]),
        lambda: Sheet.objects.update_or_create(pk=sheet.pk, defaults={"title": "d"}),
        lambda: Draft.objects.filter(pk=sheet.pk).update(title="e"),
        lambda: _execute(f"UPDATE zoo_sheet SET title = 'f' WHERE id = {sheet.pk}"),
        lambda: Sheet.objects.update(title="g"),
    ]

    for write, title in zip(writes, "abcdefg", strict=True):
        Sheet.objects.get(pk=sheet.pk)
        Sheet.objects.get(pk=other.pk)
        write()
        assert Sheet.objects.get(pk=sheet.pk).title == title
    Sheet.objects.filter(pk=sheet.pk).delete()
    with pytest.raises(Sheet.DoesNotExist):
        Sheet.objects.get(pk=sheet.pk)

    sheet.save()
    Sheet.objects.get(pk=sheet.pk)

    other.save()

    with django_assert_num_queries(0):
        Sheet.objects.get(pk=sheet.pk)


def test_what_a_transaction_wrote_is_its_own_and_what_is_not_there_is_remembered(
    sheet: Sheet, django_assert_num_queries: Any
) -> None:
    Sheet.objects.get(pk=sheet.pk)

    with transaction.atomic():
        plainly(Sheet).filter(pk=sheet.pk).update(title="mine")
        assert Sheet.objects.get(pk=sheet.pk).title == "mine"
        transaction.set_rollback(True)
    assert Sheet.objects.get(pk=sheet.pk).title == "one"
    with transaction.atomic():
        plainly(Sheet).filter(pk=sheet.pk).update(title="all")
        assert Sheet.objects.get(pk=sheet.pk).title == "all"
    assert Sheet.objects.get(pk=sheet.pk).title == "all"

    with django_assert_num_queries(1):
        for _ in range(3):
            with pytest.raises(Sheet.DoesNotExist, match="Sheet matching query does not exist"):
                Sheet.objects.get(pk=4711)

    Sheet.objects.bulk_create([Sheet(pk=4711, title="now")])

    assert Sheet.objects.get(pk=4711).title == "now"


def test_questions_that_mean_more_ask_the_database(sheet: Sheet, django_assert_num_queries: Any) -> None:
    Sheet.objects.get(pk=sheet.pk)
    pk = sheet.pk
    every = Sheet.objects.all()
    questions: list[Callable[[], Any]] = [
        lambda: Sheet.objects.get(pk=pk, title="one"),
        lambda: Sheet.objects.filter(title="one").get(pk=pk),
        lambda: Sheet.objects.exclude(title="two").get(pk=pk),
        lambda: Sheet.objects.get(models.Q(pk=pk)),
        lambda: Sheet.objects.get(pk__in=[pk]),
        lambda: Sheet.objects.get(pk=models.Value(pk)),
        lambda: Sheet.objects.get(pk=float(pk)),
        lambda: Sheet.objects.only("title").get(pk=pk),
        lambda: Sheet.objects.defer("title").get(pk=pk),
        lambda: Sheet.objects.select_related("author").get(pk=pk),
        lambda: Sheet.objects.annotate(n=models.Value(1)).get(pk=pk),
        lambda: Sheet.objects.values("title").get(pk=pk),
        lambda: Sheet.objects.values_list("title", flat=True).get(pk=pk),
        lambda: Sheet.objects.order_by("title").get(pk=pk),
        lambda: Sheet.objects.distinct().get(pk=pk),
        lambda: Sheet.objects.get_or_create(pk=pk),
        lambda: every.union(every).get(),
        lambda: _locked(pk),
    ]

    for question in questions:
        with CaptureQueriesContext(connection) as asked:
            assert question()
        assert asked.captured_queries
    with django_assert_num_queries(2):
        Sheet.objects.prefetch_related("author").get(pk=pk)
        with uncached():
            Sheet.objects.get(pk=pk)
    with pytest.raises(ValueError, match="expected a number"):
        Sheet.objects.get(pk="x")
    with pytest.raises(Sheet.DoesNotExist):
        Sheet.objects.get(pk=2**70)
    with pytest.raises(Sheet.DoesNotExist):
        Sheet.objects.get(pk=None)


def test_a_manager_that_hides_rows_goes_on_hiding_them(sheet: Sheet, django_assert_num_queries: Any) -> None:
    closed = Sheet.objects.create(title="a")
    every = kept(Sheet, CachedManager.from_queryset(ReadableQuerySet))

    for _ in range(2):
        assert every.get(pk=closed.pk) == every.short().get(pk=closed.pk) == closed
        hiding = (LiveManager, CachedManager.from_queryset(LiveQuerySet), MixedManager)
        for manager in (kept(Sheet, kind) for kind in hiding):
            with pytest.raises(Sheet.DoesNotExist):
                manager.get(pk=closed.pk)
            with pytest.raises(Sheet.DoesNotExist):
                manager.all().get(pk=closed.pk)
            assert manager.in_bulk([closed.pk]) == {}
    with django_assert_num_queries(0):
        every.get(pk=closed.pk)

    above = Sheet.objects.create(title="above")
    Sheet.objects.get(pk=sheet.pk)

    with pytest.raises(Sheet.DoesNotExist):
        above.below.get(pk=sheet.pk)


def test_keys_of_every_kind_and_parents(django_assert_num_queries: Any) -> None:
    populate()
    codes = ["B1", "a ", ":b", "é", "b1"]
    Country.objects.bulk_create([Country(code=code, name=code) for code in codes])
    countries, parcels, covers = kept(Country), kept(Parcel), kept(Cover)

    for times in (1, 0):
        with django_assert_num_queries(times * 7):
            assert [countries.get(pk=code).name for code in codes] == codes
            assert parcels.get(pk=BOX).pk == parcels.get(id=BOX).pk == BOX
            assert covers.get(pk=ONE) == covers.get(book_id=ONE) == covers.get(book=ONE)
    assert parcels.get(pk=str(BOX)).pk == BOX
    Country.objects.filter(pk="B1").update(name="new")
    assert [countries.get(pk=code).name for code in codes] == ["new", *codes[1:]]

    kept(Restaurant).get(pk=CAFE)
    Place.objects.filter(pk=PARK).update(name="new")

    expected = columns(plainly(Restaurant).get(pk=CAFE))
    with django_assert_num_queries(0):
        assert columns(kept(Restaurant).get(pk=CAFE)) == expected

    Place.objects.filter(pk=CAFE).update(name="newer")
    assert kept(Restaurant).get(pk=CAFE).name == "newer"
    Restaurant.objects.filter(pk=CAFE).update(stars=3)
    assert kept(Restaurant).get(pk=CAFE).stars == 3

    kept(Country).get(pk="be")

    client: Any = store_for("default").client  # type: ignore[attr-defined]
    (key,) = client.keys("*:e:row:zoo.country:*:be")

    assert client.strlen(key) < 130
    assert b"models" not in client.get(key)


def test_releases_with_other_columns_find_nothing_of_each_other(sheet: Sheet) -> None:
    def release(**more: Any) -> Any:
        meta = type("Meta", (), {"app_label": "zoo", "apps": Apps()})
        return type("Sheet", (models.Model,), {"__module__": __name__, "Meta": meta, **more})

    title, longer = models.CharField(max_length=50), models.CharField(max_length=80)
    releases = [
        release(title=title),
        release(title=models.TextField()),
        release(title=title.clone(), extra=models.IntegerField(default=5)),
        release(title=models.CharField(max_length=50, db_column="name")),
    ]

    prints = [_columns(one) for one in releases]

    assert len(set(prints)) == len(prints)
    assert _columns(release(title=longer)) == prints[0], "the column holds the same values"


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_databases_have_rows_of_their_own(sheet: Sheet, django_assert_num_queries: Any) -> None:
    sheet.save(using="other")
    Sheet.objects.get(pk=sheet.pk)

    assert Sheet.objects.using("other").get(pk=sheet.pk)._state.db == "other"
    Sheet.objects.using("other").update(title="there")
    assert Sheet.objects.db_manager("other").get(pk=sheet.pk).title == "there"
    with django_assert_num_queries(0):
        assert Sheet.objects.get(pk=sheet.pk).title == "one"


def test_tenants_have_rows_of_their_own(sheet: Sheet, settings: Any, django_assert_num_queries: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "TENANT": "tests.orm.test_rows.nobody"}

    for name in ("a", "b"):
        with tenant(name), django_assert_num_queries(1):
            Sheet.objects.get(pk=sheet.pk)
            Sheet.objects.get(pk=sheet.pk)


def nobody() -> None:
    """Name no tenant."""


def test_a_foreign_key_asks_the_cache_of_rows(sheet: Sheet, django_assert_num_queries: Any) -> None:
    author = make_author()
    Sheet.objects.filter(pk=sheet.pk).update(author=author)
    slip = Sheet.objects.create(title="slip", above=sheet, twin=sheet)
    Sheet.objects.get(pk=sheet.pk)

    fresh = plainly(Sheet).get(pk=slip.pk)
    with django_assert_num_queries(0):
        assert columns(fresh.above) == columns(Sheet.objects.get(pk=sheet.pk))
        assert fresh.above is fresh.above
        assert fresh.twin.sheet is fresh
    assert isinstance(vars(Sheet)["above"], KeptForeignKey)
    with django_assert_num_queries(1):
        assert fresh.above.author == author
    Sheet.objects.filter(pk=sheet.pk).update(title="new")
    for way in (plainly(Sheet), plainly(Sheet).select_related("above"), plainly(Sheet).prefetch_related("above")):
        assert way.get(pk=slip.pk).above.title == "new"
    assert Sheet().above is None
    with pytest.raises(Sheet.DoesNotExist):
        Sheet(above_id=4711).above  # noqa: B018
    assert issubclass(Sheet.above.RelatedObjectDoesNotExist, Sheet.DoesNotExist)


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    made: list[Any] = []

    def note(*, instance: Any, **_: Any) -> None:
        made.append(instance)

    post_init.connect(note, sender=Sheet)
    yield made
    post_init.disconnect(note, sender=Sheet)


def test_whoever_has_a_say_when_an_instance_is_made_is_asked_at_each_hit(
    sheet: Sheet, heard: list[Any], django_assert_num_queries: Any
) -> None:
    for times in (1, 0):
        with django_assert_num_queries(times):
            assert Draft.objects.get(pk=sheet.pk).made == "by __init__, of from_db"
    assert Draft.objects.get(pk=sheet.pk).shout == "HEY"

    Sheet.objects.get(pk=sheet.pk)

    with django_assert_num_queries(0):
        assert type(Draft.objects.get(pk=sheet.pk)) is Draft

    Sheet.objects.get(pk=sheet.pk)
    heard.clear()

    kept = Sheet.objects.get(pk=sheet.pk)

    assert len(heard) == 1
    assert heard[0] is kept


def test_rows_held_in_the_process_are_each_readers_own_and_coherent(sheet: Sheet) -> None:
    other = Sheet.objects.create(title="other")
    near: Any = kept(Sheet, rows={"near": True})
    keys = [sheet.pk, other.pk]

    def held() -> bool:
        read = [near.get(pk=pk).data for pk in keys], near.in_bulk(keys)
        found = near_for("default")
        assert read
        return found is not None and len(found) == 2 and all(found.get(key) for key in list(found._entries))

    until(held)
    first, second = near.get(pk=sheet.pk), near.in_bulk(keys)[sheet.pk]
    first.data["deep"].append("mine")
    assert columns(second) == columns(plainly(Sheet).get(pk=sheet.pk))
    assert near.get(pk=sheet.pk).data == FULL["data"]
    for title in ("new", "newer"):
        plainly(Sheet).filter(pk=sheet.pk).update(title=title)
        assert near.get(pk=sheet.pk).title == near.in_bulk(keys)[sheet.pk].title == title
        until(held)


def test_what_contains_rows_depends_on_them_and_they_are_forgotten_by_hand(
    sheet: Sheet, django_assert_num_queries: Any
) -> None:
    @cached
    def title() -> Any:
        return Sheet.objects.get(pk=sheet.pk).title

    Sheet.objects.get(pk=sheet.pk)  # which the function finds in the cache
    title()
    Sheet.objects.filter(pk=sheet.pk).update(title="new")

    assert title() == "new"

    keys = [Sheet.objects.create(title=str(number)).pk for number in range(3)]

    @cached
    def titles() -> list[str]:
        return [one.title for one in Sheet.objects.in_bulk(keys).values()]

    for warm in (False, True):
        if warm:
            Sheet.objects.in_bulk(keys)
        titles()
        Sheet.objects.filter(pk=keys[1]).update(title=f"new {warm}")
        assert titles() == ["0", f"new {warm}", "2"]

    for thing in (sheet, Sheet, "*"):
        Sheet.objects.get(pk=sheet.pk)
        invalidate(thing)
        with django_assert_num_queries(1):
            Sheet.objects.get(pk=sheet.pk)


async def test_awaited_rows_need_no_thread(django_assert_num_queries: Any) -> None:
    sheet = await Sheet.objects.acreate(title="one")
    key = uuid.uuid4()

    first = await Sheet.objects.aget(pk=sheet.pk)
    stored = await Sheet.objects.aget(pk=sheet.pk)
    again = await Sheet.objects.all().aget(pk=sheet.pk)

    assert columns(first) == columns(stored) == columns(again)
    with pytest.raises(Sheet.DoesNotExist):
        await Sheet.objects.aget(pk=4711)
    with pytest.raises(Parcel.DoesNotExist):
        await kept(Parcel).aget(pk=key)
    await Sheet.objects.filter(pk=sheet.pk).aupdate(title="two")
    assert (await Sheet.objects.aget(pk=sheet.pk)).title == "two"

    keys = [(await Sheet.objects.acreate(title=str(number))).pk for number in range(3)]

    first = await Sheet.objects.ain_bulk(keys)
    stored = await Sheet.objects.ain_bulk(keys)

    assert [columns(one) for one in first.values()] == [columns(one) for one in stored.values()]
    await Sheet.objects.filter(pk=keys[0]).aupdate(title="new")
    assert (await Sheet.objects.ain_bulk(keys))[keys[0]].title == "new"


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _locked(pk: int) -> Any:
    with transaction.atomic():
        return Sheet.objects.select_for_update().get(pk=pk)


def test_many_rows_are_fetched_at_once_and_kept_one_by_one(django_assert_num_queries: Any) -> None:
    sheets = [Sheet.objects.create(title=str(number), **FULL) for number in range(40)]
    keys = [one.pk for one in sheets]
    Sheet.objects.get(pk=keys[0])

    with django_assert_num_queries(1):
        first = Sheet.objects.in_bulk([*keys[:30], 4711])
    with django_assert_num_queries(0):
        again = Sheet.objects.in_bulk({*keys[:30], 4711})
        assert Sheet.objects.all().in_bulk(keys[:3], field_name="id").keys() == {*keys[:3]}
        assert Sheet.objects.get(pk=keys[5]).title == "5"
    expected = plainly(Sheet).in_bulk(keys[:30])
    assert {pk: columns(one) for pk, one in first.items()} == {pk: columns(one) for pk, one in expected.items()}
    assert {pk: columns(one) for pk, one in again.items()} == {pk: columns(one) for pk, one in expected.items()}

    Sheet.objects.filter(pk=keys[7]).update(title="new")
    with django_assert_num_queries(1):
        assert Sheet.objects.in_bulk(keys[:30])[keys[7]].title == "new"
    with django_assert_num_queries(1):
        assert len(Sheet.objects.in_bulk(keys)) == 40
    Sheet.objects.filter(pk=keys[8]).delete()
    assert keys[8] not in Sheet.objects.in_bulk(keys)
    with transaction.atomic():
        plainly(Sheet).filter(pk=keys[9]).update(title="mine")
        assert Sheet.objects.in_bulk(keys)[keys[9]].title == "mine"
        transaction.set_rollback(True)
    assert Sheet.objects.in_bulk(keys)[keys[9]].title == "9"


def test_bulk_questions_that_mean_more_ask_the_database(sheet: Sheet, django_assert_num_queries: Any) -> None:
    Sheet.objects.in_bulk([sheet.pk])
    kept_key = {sheet.pk: sheet}

    with django_assert_num_queries(5):
        assert Sheet.objects.in_bulk() == kept_key
        assert Sheet.objects.in_bulk([str(sheet.pk), float(sheet.pk)]) == kept_key
        assert Sheet.objects.filter(title="one").in_bulk([sheet.pk]) == kept_key
        assert Sheet.objects.only("title").in_bulk([sheet.pk]) == kept_key
        with uncached():
            assert Sheet.objects.in_bulk([sheet.pk]) == kept_key
    assert Sheet.objects.in_bulk([]) == {}
    coin = Coin.objects.create(worth=7)
    for _ in range(2):
        assert Coin.objects.in_bulk([coin.pk])[coin.pk].worth.cents == 7
    coin = Coin.objects.create(worth=5)

    for _ in range(3):
        with django_assert_num_queries(1):
            assert Coin.objects.get(pk=coin.pk).worth.cents == 5
