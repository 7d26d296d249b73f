"""Rows by primary key: the same instances as Django's, from the cache, and only where nothing could tell otherwise."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, models, transaction
from django.db.models.signals import post_init
from django.test.utils import CaptureQueriesContext

from cachekit import CachedManager, cached, invalidate, tenant, uncached
from cachekit.orm.forward import KeptForeignKey
from tests.orm.world import BOX, populate
from tests.zoo.builders import make_author
from tests.zoo.kept import Coin, Crest, Draft, Page, Plan, Scrap, Sheet, Shout, Slip, Stamp
from tests.zoo.models import Parcel

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


def plainly(model: Any) -> Any:
    """Return a queryset of Django's own."""
    return models.QuerySet(model)


@pytest.fixture
def sheet() -> Sheet:
    return Sheet.objects.create(title="one", **FULL)


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


def test_each_reader_gets_values_of_their_own(sheet: Sheet) -> None:
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


def test_writes_of_every_kind_are_seen_at_once(sheet: Sheet) -> None:
    other = Sheet.objects.create(title="other")
    writes = [
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


def test_a_write_to_another_row_leaves_this_one(sheet: Sheet, django_assert_num_queries: Any) -> None:
    other = Sheet.objects.create(title="other")
    Sheet.objects.get(pk=sheet.pk)

    other.save()

    with django_assert_num_queries(0):
        Sheet.objects.get(pk=sheet.pk)


def test_a_row_that_is_not_there_is_asked_for_once_until_it_is(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        for _ in range(3):
            with pytest.raises(Sheet.DoesNotExist, match="Sheet matching query does not exist"):
                Sheet.objects.get(pk=4711)

    Sheet.objects.bulk_create([Sheet(pk=4711, title="now")])

    assert Sheet.objects.get(pk=4711).title == "now"


def test_what_a_transaction_wrote_is_its_own_until_the_commit(sheet: Sheet) -> None:
    Sheet.objects.get(pk=sheet.pk)

    with pytest.raises(RuntimeError), transaction.atomic():
        plainly(Sheet).filter(pk=sheet.pk).update(title="mine")
        assert Sheet.objects.get(pk=sheet.pk).title == "mine"
        raise RuntimeError
    assert Sheet.objects.get(pk=sheet.pk).title == "one"
    with transaction.atomic():
        plainly(Sheet).filter(pk=sheet.pk).update(title="all")
        assert Sheet.objects.get(pk=sheet.pk).title == "all"
    assert Sheet.objects.get(pk=sheet.pk).title == "all"


def test_questions_that_mean_more_ask_the_database(sheet: Sheet, django_assert_num_queries: Any) -> None:
    Sheet.objects.get(pk=sheet.pk)
    pk = sheet.pk
    every = Sheet.objects.all()
    questions = [
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


def test_a_manager_that_hides_rows_goes_on_hiding_them(django_assert_num_queries: Any) -> None:
    page = Page.every.create(title="a", deleted=True)

    for _ in range(2):
        assert Page.every.get(pk=page.pk).deleted
        assert Page.every.short().get(pk=page.pk) == page
        for manager in (Page.objects, Page.choosy):
            with pytest.raises(Page.DoesNotExist):
                manager.get(pk=page.pk)
            with pytest.raises(Page.DoesNotExist):
                manager.all().get(pk=page.pk)
            assert manager.in_bulk([page.pk]) == {}
    with django_assert_num_queries(0):
        Page.every.get(pk=page.pk)
    assert Scrap.objects.get(pk=Scrap.objects.create(page=page).pk).page == page


def test_managers_of_related_rows_answer_for_those_alone(sheet: Sheet) -> None:
    above = Sheet.objects.create(title="above")
    Sheet.objects.get(pk=sheet.pk)

    with pytest.raises(Sheet.DoesNotExist):
        above.sheet_set.get(pk=sheet.pk)


def test_keys_of_text_uuids_and_others_keys(django_assert_num_queries: Any) -> None:
    populate()
    crest = Crest.objects.create(parcel_id=BOX, text="lion")
    codes = ["A1", "a:b c", "é" * 40, "x" * 90, "a1"]
    Stamp.objects.bulk_create([Stamp(code=code, worth=n) for n, code in enumerate(codes)])

    for times in (1, 0):
        with django_assert_num_queries(times * 6):
            assert [Stamp.objects.get(pk=code).worth for code in codes] == [0, 1, 2, 3, 4]
            assert Crest.objects.get(pk=BOX) == Crest.objects.get(parcel_id=BOX) == Crest.objects.get(parcel=BOX) == crest
    assert Crest.objects.get(parcel=Parcel.objects.get(pk=BOX)).text == "lion"
    assert Crest.objects.get(pk=str(BOX)).text == "lion"
    Stamp.objects.filter(pk="A1").update(worth=9)
    assert Stamp.objects.get(pk="A1").worth == 9


def test_a_child_depends_on_its_parents_row(django_assert_num_queries: Any) -> None:
    plan, other = Plan.objects.create(title="p", scale=2), Plan.objects.create(title="q")
    Plan.objects.get(pk=plan.pk)
    Sheet.objects.filter(pk=other.pk).update(title="r")

    expected = columns(plainly(Plan).get(pk=plan.pk))
    with django_assert_num_queries(0):
        assert columns(Plan.objects.get(pk=plan.pk)) == expected

    Sheet.objects.filter(pk=plan.pk).update(title="s")
    assert Plan.objects.get(pk=plan.pk).title == "s"
    plan.scale = 3
    plan.save()
    assert Plan.objects.get(pk=plan.pk).scale == 3


def test_a_proxy_shares_the_rows_of_its_model(sheet: Sheet, django_assert_num_queries: Any) -> None:
    Sheet.objects.get(pk=sheet.pk)

    with django_assert_num_queries(0):
        assert type(Draft.objects.get(pk=sheet.pk)) is Draft


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
    slip = Slip.objects.create(sheet=sheet, best=sheet)
    Sheet.objects.get(pk=sheet.pk)

    fresh = Slip.objects.get(pk=slip.pk)
    with django_assert_num_queries(0):
        assert columns(fresh.sheet) == columns(sheet.__class__.objects.get(pk=sheet.pk))
        assert fresh.sheet is fresh.sheet
        assert fresh.best.best_of is fresh
    assert isinstance(vars(Slip)["sheet"], KeptForeignKey)
    with django_assert_num_queries(1):
        assert fresh.sheet.author == author
    Sheet.objects.filter(pk=sheet.pk).update(title="new")
    assert Slip.objects.get(pk=slip.pk).sheet.title == "new"
    assert Slip.objects.select_related("sheet").get(pk=slip.pk).sheet.title == "new"
    assert Slip.objects.prefetch_related("sheet").get(pk=slip.pk).sheet.title == "new"
    assert Slip(sheet=sheet).best is None
    with pytest.raises(Slip.sheet.RelatedObjectDoesNotExist):
        Slip().sheet  # noqa: B018
    with pytest.raises(Sheet.DoesNotExist):
        Slip(sheet_id=4711).sheet  # noqa: B018


def test_values_that_cannot_be_kept_are_asked_for_each_time(django_assert_num_queries: Any) -> None:
    coin = Coin.objects.create(worth=5)

    for _ in range(3):
        with django_assert_num_queries(1):
            assert Coin.objects.get(pk=coin.pk).worth.cents == 5


def test_a_class_that_has_a_say_is_asked_at_each_hit(django_assert_num_queries: Any) -> None:
    shout = Shout.objects.create(text="hey")

    for times in (1, 0):
        with django_assert_num_queries(times):
            assert columns(Shout.objects.get(pk=shout.pk))["made"] == (str, "by __init__, of from_db")
    assert Shout.objects.get(pk=shout.pk).text == "HEY"


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    made: list[Any] = []

    def note(*, instance: Any, **_: Any) -> None:
        made.append(instance)

    post_init.connect(note, sender=Sheet)
    yield made
    post_init.disconnect(note, sender=Sheet)


def test_who_listens_for_new_instances_hears_of_each_hit(sheet: Sheet, heard: list[Any]) -> None:
    Sheet.objects.get(pk=sheet.pk)
    heard.clear()

    kept = Sheet.objects.get(pk=sheet.pk)

    assert len(heard) == 1
    assert heard[0] is kept


def test_what_contains_a_row_depends_on_it(sheet: Sheet) -> None:
    @cached
    def title() -> str:
        return Sheet.objects.get(pk=sheet.pk).title

    Sheet.objects.get(pk=sheet.pk)  # which the function finds in the cache
    title()
    Sheet.objects.filter(pk=sheet.pk).update(title="new")

    assert title() == "new"


def test_rows_are_forgotten_by_hand(sheet: Sheet, django_assert_num_queries: Any) -> None:
    for thing in (sheet, Sheet, "*"):
        Sheet.objects.get(pk=sheet.pk)
        invalidate(thing)
        with django_assert_num_queries(1):
            Sheet.objects.get(pk=sheet.pk)


def test_a_kept_row_is_small(sheet: Sheet, valkey: Any) -> None:
    Sheet.objects.get(pk=sheet.pk)
    stamp = Stamp.objects.create(code="A1", worth=3)
    Stamp.objects.get(pk=stamp.pk)

    from cachekit.stores import store_for

    client: Any = store_for("default").client  # type: ignore[attr-defined]
    (key,) = [one for one in client.keys("*:e:row:zoo.stamp:*")]

    assert client.strlen(key) < 120
    assert b"Stamp" not in client.get(key)


@pytest.mark.parametrize("rows", ["soon", -1, {"timeout": "x"}, {"tiemout": 3}, []])
def test_rows_that_cannot_be_meant_are_refused_where_they_are_written(rows: Any) -> None:
    with pytest.raises(Exception, match=r"CachedManager\(rows="):
        CachedManager(rows=rows)


async def test_awaited_rows_need_no_thread(django_assert_num_queries: Any) -> None:
    sheet = await Sheet.objects.acreate(title="one")
    key = uuid.uuid4()

    first = await Sheet.objects.aget(pk=sheet.pk)
    kept = await Sheet.objects.aget(pk=sheet.pk)
    again = await Sheet.objects.all().aget(pk=sheet.pk)

    assert columns(first) == columns(kept) == columns(again)
    with pytest.raises(Sheet.DoesNotExist):
        await Sheet.objects.aget(pk=4711)
    with pytest.raises(Crest.DoesNotExist):
        await Crest.objects.aget(pk=key)
    await Sheet.objects.filter(pk=sheet.pk).aupdate(title="two")
    assert (await Sheet.objects.aget(pk=sheet.pk)).title == "two"


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _locked(pk: int) -> Any:
    with transaction.atomic():
        return Sheet.objects.select_for_update().get(pk=pk)
