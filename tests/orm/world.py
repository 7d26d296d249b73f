"""A small world of zoo rows with known keys: two of most things, so that one can be touched and the other not."""

from __future__ import annotations

import datetime
import uuid
from contextlib import closing
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db import connection, transaction

from tests.zoo.models import (
    Author,
    Book,
    Club,
    Country,
    Cover,
    Folder,
    Membership,
    Note,
    Parcel,
    Place,
    Port,
    Profile,
    Restaurant,
    Shelf,
    Tag,
)

# Far above what a sequence hands out to rows that tests add.
ADA, BOB, EVE = 900_001, 900_002, 900_003
ONE, TWO, THREE, FOUR, NONE = 900_011, 900_012, 900_013, 900_014, 900_099
RED, BLUE = 900_021, 900_022
CAFE, BAR, PARK = 900_031, 900_032, 900_033
ROOT, LEAF = 900_041, 900_042
CLUB, SHELF, PORT, NOTE = 900_051, 900_061, 900_071, 900_081
BOX, BAG = uuid.UUID(int=1), uuid.UUID(int=2)
DAY = datetime.date(2020, 1, 31)


@transaction.atomic
def populate() -> None:
    """Fill the database."""
    ada, bob, eve = (
        Author.objects.create(pk=pk, name=name, email=f"{name}@x.org")
        for pk, name in ((ADA, "Ada"), (BOB, "Bob"), (EVE, "Eve"))
    )
    red, blue = Tag.objects.create(pk=RED, name="red"), Tag.objects.create(pk=BLUE, name="blue")
    one, two, three, _ = (
        Book.objects.create(
            pk=pk, title=title, author=author, status=status, price=Decimal(price), published=DAY, **more
        )
        for pk, title, author, status, price, more in (
            (ONE, "one", ada, "draft", 3, {"editor": bob, "stock": 1}),
            (TWO, "two", ada, "out", 7, {"editor": eve, "views": 9}),
            (THREE, "three", bob, "draft", 9, {}),
            (FOUR, "four", bob, "out", 11, {"stock": 5}),
        )
    )
    one.tags.add(red, blue)
    two.tags.add(blue)
    Note.objects.create(pk=NOTE, text="nice", subject=one)
    Cover.objects.create(book=one, colour="green")
    Profile.objects.create(author=ada, bio="wrote one")
    Restaurant.objects.create(pk=CAFE, name="cafe", city="Ghent", stars=1)
    Restaurant.objects.create(pk=BAR, name="bar", city="Antwerp", stars=2)
    Place.objects.create(pk=PARK, name="park", city="Ghent")
    club = Club.objects.create(pk=CLUB, name="readers")
    Membership.objects.create(club=club, author=ada, role="chair")
    Membership.objects.create(club=club, author=bob)
    root = Folder.objects.create(pk=ROOT, name="root")
    Folder.objects.create(pk=LEAF, name="leaf", parent=root)
    Parcel.objects.create(pk=BOX, weight=1)
    Parcel.objects.create(pk=BAG, weight=2)
    Country.objects.create(pk="be", name="Belgium")
    Country.objects.create(pk="nl", name="Netherlands")
    Port.objects.create(pk=PORT, country_id="be", favourite=red)
    Shelf.objects.create(pk=SHELF, name="top").books.add(one, three)
    ada.rivals.add(bob)


class Snapshot:
    """The rows of the zoo as they are now, to be put back past Django: no cache hears of it."""

    def __init__(self) -> None:
        tables = [model._meta.db_table for model in apps.get_app_config("zoo").get_models(include_auto_created=True)]
        there = set(connection.introspection.table_names())
        self._tables = sorted(there.intersection(tables))
        self._rows = self.rows()

    def rows(self) -> dict[str, list[Any]]:
        """Return the rows of each table."""
        found: dict[str, list[Any]] = {}
        connection.ensure_connection()
        with closing(connection.connection.cursor()) as cursor:
            for table in self._tables:
                cursor.execute(f"SELECT * FROM {table}")
                found[table] = sorted(map(tuple, cursor.fetchall()), key=repr)
        return found

    def changed(self) -> set[str]:
        """Return the tables that hold other rows."""
        return {table for table, rows in self.rows().items() if rows != self._rows[table]}

    def restore(self) -> None:
        """Put the rows back where they were."""
        mark = "?" if connection.vendor == "sqlite" else "%s"
        changed = sorted(self.changed())
        connection.ensure_connection()
        with closing(connection.connection.cursor()) as cursor:
            cursor.execute("BEGIN")
            for table in changed:
                cursor.execute(f"DELETE FROM {table}")
            for table in changed:
                if rows := self._rows[table]:
                    cursor.executemany(f"INSERT INTO {table} VALUES ({', '.join([mark] * len(rows[0]))})", rows)
            cursor.execute("COMMIT")
