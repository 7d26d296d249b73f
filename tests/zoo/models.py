"""Test models: every kind of key and relation that a write can travel along."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.apps import apps
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Author(models.Model):
    """The far end of a foreign key."""

    name = models.CharField(max_length=100)
    email = models.EmailField(blank=True)
    rivals: models.ManyToManyField[Author, Author] = models.ManyToManyField("self", symmetrical=True, blank=True)

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    """The far end of an automatic many-to-many table."""

    name = models.CharField(max_length=50, unique=True)

    def __str__(self) -> str:
        return self.name


class Note(models.Model):
    """Hangs on any model by a generic foreign key."""

    text = models.CharField(max_length=200)
    # No constraint: these tables are made before those of apps with migrations.
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, db_constraint=False)
    object_id = models.CharField(max_length=50)
    subject = GenericForeignKey("content_type", "object_id")

    def __str__(self) -> str:
        return self.text


class Book(models.Model):
    """Has two declared indexes: an entry that filters on one depends on that slice only."""

    CACHEKIT_INDEXES: ClassVar[tuple[str, ...]] = ("author", "status")

    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    editor = models.ForeignKey(Author, on_delete=models.SET_NULL, null=True, blank=True, related_name="edited")
    status = models.CharField(max_length=20, default="draft")
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    stock = models.IntegerField(default=0)
    views = models.PositiveBigIntegerField(default=0)
    published = models.DateField(null=True, blank=True)
    tags = models.ManyToManyField(Tag, blank=True, related_name="books")
    notes = GenericRelation(Note)

    def __str__(self) -> str:
        return self.title


class Novel(Book):
    """A proxy: its writes are writes to the table of books."""

    class Meta:
        proxy = True


class Cover(models.Model):
    """One to one, and the key of the other side is its own."""

    book = models.OneToOneField(Book, on_delete=models.CASCADE, primary_key=True)
    colour = models.CharField(max_length=30)

    def __str__(self) -> str:
        return self.colour


class Place(models.Model):
    """The parent of a multi-table inheritance."""

    CACHEKIT_INDEXES: ClassVar[tuple[str, ...]] = ("city",)

    name = models.CharField(max_length=100)
    city = models.CharField(max_length=100, default="Antwerp")

    def __str__(self) -> str:
        return self.name


class Restaurant(Place):
    """A child with a table of its own: one save writes two tables."""

    stars = models.PositiveSmallIntegerField(default=0)


class Club(models.Model):
    """Has members through a table that is a model."""

    name = models.CharField(max_length=100)
    members = models.ManyToManyField(Author, through="Membership", related_name="clubs")

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """The explicit many-to-many table."""

    club = models.ForeignKey(Club, on_delete=models.CASCADE)
    author = models.ForeignKey(Author, on_delete=models.CASCADE)
    role = models.CharField(max_length=30, default="member")

    class Meta:
        unique_together = (("club", "author"),)

    def __str__(self) -> str:
        return self.role


class Folder(models.Model):
    """Points at itself, and goes down with its parent."""

    name = models.CharField(max_length=100)
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True, related_name="children")

    def __str__(self) -> str:
        return self.name


class Parcel(models.Model):
    """Has a UUID as its key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    weight = models.FloatField(default=1)

    def __str__(self) -> str:
        return str(self.id)


class Country(models.Model):
    """Has a natural key, under another column name and with another table name than usual."""

    code = models.CharField(max_length=2, primary_key=True, db_column="iso")
    name = models.CharField(max_length=100)

    class Meta:
        db_table = "zoo_land"

    def __str__(self) -> str:
        return self.code


class Port(models.Model):
    """Refers to a key that is text, and to a unique column that is no key."""

    country = models.ForeignKey(Country, on_delete=models.RESTRICT)
    favourite = models.ForeignKey(Tag, to_field="name", on_delete=models.SET_NULL, null=True, blank=True)

    def __str__(self) -> str:
        return f"port {self.pk}"


class Profile(models.Model):
    """One to one with a key of its own."""

    author = models.OneToOneField(Author, on_delete=models.CASCADE, related_name="profile")
    bio = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.bio[:20]


class ActiveQuerySet(models.QuerySet["Shelf"]):
    """A project's own queryset."""

    def open(self) -> ActiveQuerySet:
        """Return the shelves that are open."""
        return self.filter(closed=False)


class Shelf(models.Model):
    """Has a project's own queryset as manager, and a many-to-many table under another name."""

    name = models.CharField(max_length=50)
    closed = models.BooleanField(default=False)
    books = models.ManyToManyField(Book, blank=True, db_table="zoo_shelf_holdings")

    objects = ActiveQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Visits(models.Model):
    """Counts beside the rows it counts for: its key is theirs, and all else has a default."""

    book = models.OneToOneField(Book, on_delete=models.CASCADE, primary_key=True)
    count = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.book_id}: {self.count}"


class Search(models.Model):
    """Counts by a unique text, beside a key that the database hands out."""

    words = models.CharField(max_length=20, unique=True)
    count = models.IntegerField(null=True)
    first_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.words}: {self.count}"


class Output(models.Model):
    """What each author has written, by a view in the database that tests make."""

    CACHEKIT_DEPENDS_ON: ClassVar[tuple[str, ...]] = ("zoo.Author", "zoo.Book")

    author = models.OneToOneField(Author, on_delete=models.DO_NOTHING, primary_key=True, related_name="+")
    books = models.IntegerField()

    class Meta:
        managed = False
        db_table = "zoo_output"

    def __str__(self) -> str:
        return f"{self.author_id}: {self.books}"


class Digest(models.Model):
    """The same as of the last REFRESH of a materialized view."""

    author = models.OneToOneField(Author, on_delete=models.DO_NOTHING, primary_key=True, related_name="+")
    books = models.IntegerField()

    class Meta:
        managed = False
        db_table = "zoo_digest"

    def __str__(self) -> str:
        return f"{self.author_id}: {self.books}"


later: Any = models
if hasattr(models, "DB_CASCADE"):  # Django 6.1

    class Crate(models.Model):
        """Its bottles go with it, by the database alone."""

        name = models.CharField(max_length=20)

    class Bottle(models.Model):
        """Its labels go with it, and so when its crate does."""

        crate = models.ForeignKey(Crate, on_delete=later.DB_CASCADE)

    class Label(models.Model):
        """Goes with its bottle."""

        bottle = models.ForeignKey(Bottle, on_delete=later.DB_CASCADE)

    class Taster(models.Model):
        """Stays when a bottle goes."""

        bottle = models.ForeignKey(Bottle, on_delete=later.DB_SET_NULL, null=True)


class RevokedToken(models.Model):
    """A token that must not be taken any more."""

    jti = models.CharField(max_length=255, primary_key=True)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.jti


if apps.is_installed("cachekit"):  # the matrix is also run beside other libraries
    from tests.zoo import kept, made  # noqa: F401 - they refer to the models above
