"""Test models whose rows are kept one by one, with every kind of column and key, and managers that hide rows."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models

from cachekit import CachedManager, CachedQuerySet


class Sheet(models.Model):
    """Has a column of each kind."""

    title = models.CharField(max_length=50)
    data = models.JSONField(null=True, blank=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    day = models.DateField(null=True, blank=True)
    at = models.DateTimeField(null=True, blank=True)
    clock = models.TimeField(null=True, blank=True)
    span = models.DurationField(null=True, blank=True)
    ratio = models.FloatField(default=0.5)
    is_open = models.BooleanField(default=False)
    code = models.UUIDField(default=uuid.uuid4)
    blob = models.BinaryField(null=True, blank=True)
    scan = models.FileField(blank=True)
    above = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True)
    author = models.ForeignKey("zoo.Author", on_delete=models.CASCADE, null=True, blank=True)

    objects = CachedManager(rows=True)

    def __str__(self) -> str:
        return self.title


class Plan(Sheet):
    """A child with a table of its own, whose rows are kept as its parent's are."""

    scale = models.IntegerField(default=1)


class Draft(Sheet):
    """A proxy, with the same rows."""

    class Meta:
        proxy = True


class Slip(models.Model):
    """Points at rows that are kept, and is not kept itself."""

    sheet = models.ForeignKey(Sheet, on_delete=models.CASCADE)
    best = models.OneToOneField(Sheet, on_delete=models.SET_NULL, null=True, blank=True, related_name="best_of")

    def __str__(self) -> str:
        return f"slip {self.pk}"


class Stamp(models.Model):
    """Has a key of text, and rows that live for a minute."""

    code = models.CharField(max_length=100, primary_key=True)
    worth = models.IntegerField(default=0)

    objects = CachedManager(rows=60)

    def __str__(self) -> str:
        return self.code


class Crest(models.Model):
    """Has another's key as its own, which is a UUID."""

    parcel = models.OneToOneField("zoo.Parcel", on_delete=models.CASCADE, primary_key=True)
    text = models.CharField(max_length=20)

    objects = CachedManager(rows={"timeout": None})

    def __str__(self) -> str:
        return self.text


class LiveManager(CachedManager):
    """Hides what is deleted."""

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(deleted=False)


class LiveQuerySet(CachedQuerySet["Page"]):
    """Hides what is deleted, where it filters."""

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        return super().filter(*args, **kwargs).exclude(deleted=True)


class ReadableQuerySet(CachedQuerySet["Page"]):
    """Adds a method and hides nothing."""

    def short(self) -> Any:
        """Return those with short titles."""
        return self.filter(title__lt="b")


class Page(models.Model):
    """Has a manager that hides rows beside one that does not."""

    title = models.CharField(max_length=20)
    deleted = models.BooleanField(default=False)

    objects = LiveManager(rows=True)
    choosy = CachedManager.from_queryset(LiveQuerySet)(rows=True)
    every = CachedManager.from_queryset(ReadableQuerySet)(rows=True)

    def __str__(self) -> str:
        return self.title


class Scrap(models.Model):
    """Points at pages, hidden ones too."""

    page = models.ForeignKey(Page, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return f"scrap {self.pk}"


class Money:
    """What a column of a project's own kind becomes."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return hash(self.cents)


class MoneyField(models.IntegerField):
    """Reads objects of the project's own."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else Money(value)

    def get_prep_value(self, value: Any) -> Any:
        return value.cents if isinstance(value, Money) else value


class ShoutField(models.CharField):
    """Reads plain values, though not those that stand in its column."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        return value and value.upper()


class Coin(models.Model):
    """Has a column whose values cannot be kept."""

    worth = MoneyField()

    objects = CachedManager(rows=True)

    def __str__(self) -> str:
        return f"coin {self.pk}"


class Shout(models.Model):
    """Has a column that is converted into what can be kept, and notes how it was made."""

    text = ShoutField(max_length=20)

    objects = CachedManager(rows=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.made = "by __init__"

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Shout:
        made = super().from_db(*args, **kwargs)
        made.made += ", of from_db"
        return made

    def __str__(self) -> str:
        return self.text
