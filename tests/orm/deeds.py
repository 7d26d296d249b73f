"""Every way in which a project writes: each function changes the world of `world.py`."""

# ruff: noqa: PLW0108 - a bound method would be looked up too early

from __future__ import annotations

import tempfile
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from asgiref.sync import async_to_sync
from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.sessions.backends.base import SessionBase
from django.core import serializers
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.state import ProjectState
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat, Lower, Upper
from django.http import HttpRequest
from django.test import RequestFactory

from tests.orm.world import (
    ADA,
    BAG,
    BAR,
    BLUE,
    BOB,
    BOX,
    CAFE,
    CLUB,
    EVE,
    FOUR,
    LEAF,
    NONE,
    NOTE,
    ONE,
    PARK,
    PORT,
    RED,
    ROOT,
    SHELF,
    THREE,
    TWO,
)
from tests.zoo.models import (
    Author,
    Book,
    Club,
    Country,
    Cover,
    Folder,
    Membership,
    Note,
    Novel,
    Parcel,
    Place,
    Port,
    Profile,
    Restaurant,
    Shelf,
    Tag,
)


def changed(instance: Any, *update_fields: str, **values: Any) -> None:
    """Set attributes and save."""
    for name, value in values.items():
        setattr(instance, name, value)
    instance.save(update_fields=update_fields or None)


def one() -> Book:
    return Book.objects.get(pk=ONE)


def stale_instance() -> None:
    late = one()
    Book.objects.filter(pk=ONE).update(status="out")
    changed(late, status="sold")


def several_in_a_transaction() -> None:
    with transaction.atomic():
        changed(one(), status="out")
        with transaction.atomic():
            Author.objects.filter(pk=ADA).update(name="Adele")
        Tag.objects.create(name="green")


def manual_transaction() -> None:
    transaction.set_autocommit(False)
    try:
        changed(one(), title="uno")
        transaction.commit()
    finally:
        transaction.set_autocommit(True)


def form() -> None:
    form_of_books = forms.modelform_factory(Book, fields=("title", "author", "status", "tags"))
    form_of_books({"title": "uno", "author": BOB, "status": "out", "tags": [BLUE]}, instance=one()).save()


def fixture() -> None:
    text = serializers.serialize("json", Book.objects.filter(pk=ONE))
    Book.objects.filter(pk=ONE).delete()
    for row in serializers.deserialize("json", text.replace('"draft"', '"sold"')):
        row.save()


def _historical() -> Any:
    state = ProjectState.from_apps(Book._meta.apps)
    return state.apps.get_model("zoo", "Book").objects


def adds(**values: Any) -> Book:
    return Book.objects.create(**{"pk": NONE, "title": "new", "author_id": ADA, "status": "draft", "price": 1} | values)


def unsaved(pk: int | None = None, **values: Any) -> Book:
    return Book(**{"pk": pk, "title": "new", "author_id": ADA, "status": "draft", "price": 1} | values)


def rename_tag() -> None:
    Port.objects.update(favourite=None)
    changed(Tag.objects.get(pk=RED), name="crimson")


def _acreate() -> Any:
    async def create() -> Book:
        return await Book.objects.acreate(title="new", author_id=ADA, status="draft", price=1)

    return async_to_sync(create)()


async def _aupdate() -> None:
    await Book.objects.filter(pk=ONE).aupdate(status="sold")


def keep_parents() -> None:
    Restaurant.objects.get(pk=CAFE).delete(keep_parents=True)


def raw_delete() -> None:
    Membership.objects.filter(author=ADA)._raw_delete(using="default")


def loaded() -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(serializers.serialize("json", Book.objects.filter(pk=ONE)).replace('"draft"', '"sold"'))
        file.flush()
        call_command("loaddata", file.name, verbosity=0)


class BookAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable without its stubs
    """A project's admin, with an action of its own."""

    actions = ("sell",)

    def sell(self, request: HttpRequest, queryset: QuerySet[Book]) -> None:
        queryset.update(status="sold")


def admin_action(action: str, **more: str) -> Callable[[], Any]:
    def act() -> None:
        request = RequestFactory().post("/", {"action": action, ACTION_CHECKBOX_NAME: [str(ONE), str(TWO)], **more})
        request.user = User(pk=1, is_superuser=True)
        request.session = SessionBase()
        request._messages = FallbackStorage(request)  # type: ignore[attr-defined]
        site = admin.AdminSite()
        site.register(Book, BookAdmin)
        with transaction.atomic():
            BookAdmin(Book, site).response_action(request, Book.objects.filter(pk__in=[ONE, TWO]))

    return act


def raw_sql(sql: str) -> Callable[[], Any]:
    def say() -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)

    return say


def awaited(write: Callable[[], Any]) -> Callable[[], Any]:
    """Return a deed that awaits what `write` returns."""

    async def act() -> None:
        await write()

    return lambda: async_to_sync(act)()


DEEDS: dict[str, Callable[[], Any]] = {
    # save
    "save": lambda: changed(one(), title="uno", stock=7),
    "save unchanged": lambda: one().save(),
    "save one field": lambda: changed(one(), "title", title="uno"),
    "save moves": lambda: changed(one(), status="out"),
    "save moves a foreign key": lambda: changed(one(), author=Author(pk=BOB)),
    "save a stale instance": stale_instance,
    "save an expression": lambda: changed(one(), stock=F("stock") + 1),
    "save an expression on an index": lambda: changed(one(), status=Concat(F("status"), Value("ed"))),
    "save a deferred": lambda: changed(Book.objects.only("title").get(pk=ONE), title="uno"),
    "save by key": lambda: Book(pk=ONE, title="uno", author_id=BOB, status="out", price=1).save(),
    "save a proxy": lambda: changed(Novel.objects.get(pk=ONE), status="out"),
    "save an author": lambda: changed(Author.objects.get(pk=ADA), name="Adele", email="a@b.c"),
    "save an editor": lambda: changed(Author.objects.get(pk=BOB), name="Bert", email="b@b.c"),
    "save a tag": rename_tag,
    "save a child": lambda: changed(Restaurant.objects.get(pk=CAFE), name="tea", city="Bruges", stars=3),
    "save a child's own": lambda: changed(Restaurant.objects.get(pk=CAFE), "stars", stars=0),
    "save a parent": lambda: changed(Place.objects.get(pk=CAFE), city="Bruges"),
    "save a uuid": lambda: changed(Parcel.objects.get(pk=BOX), weight=9),
    "save a natural key": lambda: changed(Country.objects.get(pk="be"), name="Belgique"),
    "save a cover": lambda: changed(Cover.objects.get(pk=ONE), colour="pink"),
    "save a profile": lambda: changed(Profile.objects.get(author=ADA), bio="wrote more"),
    "save a folder": lambda: changed(Folder.objects.get(pk=ROOT), name="top"),
    "save a note": lambda: changed(Note.objects.get(pk=NOTE), text="bad"),
    "save to another subject": lambda: changed(Note.objects.get(pk=NOTE), subject=Book(pk=TWO)),
    "save a to_field": lambda: changed(Port.objects.get(pk=PORT), favourite=Tag.objects.get(pk=BLUE)),
    "save a member": lambda: changed(Membership.objects.get(author=BOB), role="chair"),
    "save a shelf": lambda: changed(Shelf.objects.get(pk=SHELF), closed=True),
    "save by a form": form,
    "save from a fixture": fixture,
    "save awaited": lambda: async_to_sync(one().asave)(),
    "save in a transaction": several_in_a_transaction,
    "save with autocommit off": manual_transaction,
    # create
    "create": adds,
    "create with a new key": lambda: adds(pk=None, status="sold"),
    "create an expression": lambda: adds(status=Upper(Value("x"))),
    "create a proxy": lambda: Novel.objects.create(title="new", author_id=ADA, status="draft"),
    "create a child": lambda: Restaurant.objects.create(name="den", city="Ghent", stars=1),
    "create a child of a parent": lambda: Restaurant(place_ptr_id=PARK, stars=1).save_base(raw=True),
    "create a country": lambda: Country.objects.create(pk="de", name="Germany"),
    "create an author": lambda: Author.objects.create(name="Zoe"),
    "create a note": lambda: one().notes.create(text="fine"),
    "create backwards": lambda: Author(pk=ADA).books.create(title="new", status="draft"),
    "create awaited": _acreate,
    "get_or_create": lambda: Book.objects.get_or_create(title="new", defaults={"author_id": ADA, "status": "sold"}),
    "update_or_create": lambda: Book.objects.update_or_create(pk=ONE, defaults={"status": "sold"}),
    # many at once
    "bulk_create": lambda: Book.objects.bulk_create([unsaved(), unsaved(NONE, status="sold")]),
    "bulk_create a proxy": lambda: Novel.objects.bulk_create([Novel(title="n", author_id=ADA, status="draft")]),
    "bulk_create, conflicts ignored": lambda: Book.objects.bulk_create(
        [unsaved(ONE), unsaved(NONE)], ignore_conflicts=True
    ),
    "bulk_create, conflicts updated": lambda: Book.objects.bulk_create(
        [unsaved(ONE, status="sold")], update_conflicts=True, unique_fields=["id"], update_fields=["status", "title"]
    ),
    "bulk_create many": lambda: Book.objects.bulk_create([unsaved(status="sold") for _ in range(300)]),
    "bulk_update": lambda: Book.objects.bulk_update([Book(pk=ONE, title="uno"), Book(pk=TWO, title="due")], ["title"]),
    "bulk_update an index": lambda: Book.objects.bulk_update([Book(pk=ONE, status="sold")], ["status"]),
    "bulk_update a proxy": lambda: Novel.objects.bulk_update([Novel(pk=ONE, status="sold")], ["status"]),
    # update
    "update a row": lambda: Book.objects.filter(pk=ONE).update(title="uno", stock=3),
    "update a row's index": lambda: Book.objects.filter(pk=ONE).update(status="sold"),
    "update a foreign key": lambda: Book.objects.filter(pk=ONE).update(author=Author(pk=BOB)),
    "update a slice": lambda: Book.objects.filter(status="draft").update(stock=8),
    "update out of a slice": lambda: Book.objects.filter(status="draft").update(status="sold"),
    "update unfiltered": lambda: Book.objects.update(views=F("views") + 1, price=Decimal(2)),
    "update by a range": lambda: Book.objects.filter(price__gt=8).update(status="sold", editor=None),
    "update an expression": lambda: Book.objects.filter(pk=ONE).update(status=Concat(F("status"), Value("ed"))),
    "update over a join": lambda: Book.objects.filter(author__name="Ada").update(status="sold", title="x"),
    "update by an exists": lambda: Book.objects.filter(
        Exists(Author.objects.filter(pk=OuterRef("author"), name="Ada"))
    ).update(status="sold"),
    "update by an aggregate": lambda: Book.objects.annotate(n=Count("tags")).filter(n__gt=1).update(status="sold"),
    "update of none": lambda: Book.objects.filter(pk=NONE).update(status="sold"),
    "update a proxy": lambda: Novel.objects.filter(pk=ONE).update(status="sold"),
    "update a child": lambda: Restaurant.objects.filter(pk=CAFE).update(city="Bruges", stars=0),
    "update a child's parent": lambda: Restaurant.objects.filter(stars=1).update(city="Bruges"),
    "update a child's own": lambda: Restaurant.objects.filter(city="Ghent").update(stars=0),
    "update parents": lambda: Place.objects.filter(city="Ghent").update(city="Bruges"),
    "update a key": lambda: Country.objects.filter(pk="nl").update(code="de"),
    "update backwards": lambda: Author(pk=ADA).books.update(status="sold"),
    "update a uuid": lambda: Parcel.objects.filter(pk__in=[BOX, BAG]).update(weight=F("weight") + 1),
    "update with a subquery": lambda: Port.objects.update(favourite=Tag.objects.filter(pk=BLUE).values("name")[:1]),
    "update in a migration": lambda: _historical().filter(pk=ONE).update(status="sold"),
    "save in a migration": lambda: changed(_historical().get(pk=ONE), status="sold"),
    "create in a migration": lambda: _historical().create(title="new", author_id=ADA, status="sold"),
    "update awaited": lambda: async_to_sync(_aupdate)(),
    "loaddata": loaded,
    "an action of the admin": admin_action("sell"),
    "get_or_create awaited": awaited(lambda: Tag.objects.aget_or_create(name="green")),
    "update_or_create awaited": awaited(lambda: Book.objects.aupdate_or_create(pk=ONE, defaults={"status": "sold"})),
    "bulk_create awaited": awaited(lambda: Book.objects.abulk_create([unsaved(), unsaved(NONE, status="sold")])),
    "bulk_update awaited": awaited(lambda: Book.objects.abulk_update([Book(pk=ONE, status="sold")], ["status"])),
    "add a tag awaited": awaited(lambda: Book(pk=THREE).tags.aadd(RED)),
    "set tags awaited": awaited(lambda: Book(pk=ONE).tags.aset([BLUE])),
    "raw update": raw_sql("UPDATE zoo_book SET status = 'sold' WHERE title = 'one'"),
    "raw update of a parent": raw_sql("UPDATE zoo_place SET city = 'Bruges'"),
    "raw delete by text": raw_sql("DELETE FROM zoo_book_tags"),
    "raw insert": raw_sql("INSERT INTO zoo_tag (name) SELECT 'green'"),
    # delete
    "delete": lambda: one().delete(),
    "delete a slice": lambda: Book.objects.filter(status="draft").delete(),
    "delete by a join": lambda: Book.objects.filter(author__name="Ada", tags__name="red").delete(),
    "delete a proxy": lambda: Novel.objects.get(pk=ONE).delete(),
    "delete proxies": lambda: Novel.objects.filter(status="draft").delete(),
    "delete with what hangs on it": lambda: Author.objects.get(pk=ADA).delete(),
    "delete what others point at": lambda: Author.objects.get(pk=EVE).delete(),
    "delete a tag": lambda: Tag.objects.get(pk=RED).delete(),
    "delete a parent": lambda: Place.objects.get(pk=CAFE).delete(),
    "delete a child": lambda: Restaurant.objects.get(pk=BAR).delete(),
    "delete a child only": keep_parents,
    "delete a tree": lambda: Folder.objects.get(pk=ROOT).delete(),
    "delete fast": lambda: Note.objects.filter(text="nice").delete(),
    "delete raw": raw_delete,
    "delete raw with an annotation": lambda: (
        Place.objects.annotate(low=Lower("name")).filter(low="park")._raw_delete(using="default")
    ),
    "delete with a subquery": lambda: Folder.objects.filter(
        Q(pk=LEAF) & Exists(Folder.objects.filter(pk=OuterRef("parent")))
    ).delete(),
    "delete awaited": lambda: async_to_sync(one().adelete)(),
    # relations
    "add a tag": lambda: Book(pk=THREE).tags.add(RED),
    "remove a tag": lambda: one().tags.remove(RED),
    "set tags": lambda: one().tags.set([BLUE]),
    "clear tags": lambda: one().tags.clear(),
    "create a tag": lambda: one().tags.create(name="green"),
    "add a row to a tag": lambda: Tag(pk=RED).books.add(FOUR),
    "set a tag's rows": lambda: Tag(pk=BLUE).books.set([THREE]),
    "clear a tag": lambda: Tag(pk=BLUE).books.clear(),
    "add a member": lambda: Club(pk=CLUB).members.add(EVE, through_defaults={"role": "chair"}),
    "remove a member": lambda: Club(pk=CLUB).members.remove(ADA),
    "add a rival": lambda: Author(pk=EVE).rivals.add(ADA),
    "fill a shelf": lambda: Shelf(pk=SHELF).books.add(TWO),
    "add a book": lambda: Author(pk=EVE).books.add(one()),
    "add books in bulk": lambda: Author(pk=EVE).books.add(one(), bulk=False),
    "remove an edited book": lambda: Author(pk=BOB).edited.remove(one()),
    "clear edited books": lambda: Author(pk=BOB).edited.clear(),
    "set edited books": lambda: Author(pk=BOB).edited.set([Book.objects.get(pk=FOUR)]),
    "move a folder": lambda: changed(Folder.objects.get(pk=LEAF), parent=None),
    "retype notes": lambda: Note.objects.update(content_type=ContentType.objects.get_for_model(Author)),
}
