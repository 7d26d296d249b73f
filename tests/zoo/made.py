"""Test models of which the database makes a part: composite keys, generated columns, defaults of its own."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Lower

later: Any = models


class Seat(models.Model):
    """Its key is two columns."""

    CACHEKIT_INDEXES: ClassVar[tuple[str, ...]] = ("kind",)

    pk = later.CompositePrimaryKey("line", "place")
    line = models.IntegerField()
    place = models.IntegerField()
    kind = models.CharField(max_length=10, default="plain")
    guest = models.CharField(max_length=10, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.line}/{self.place}"


class Word(models.Model):
    """Has indexes that only the database knows the values of."""

    CACHEKIT_INDEXES: ClassVar[tuple[str, ...]] = ("bare", "kind")

    text = models.CharField(max_length=20)
    bare = models.GeneratedField(
        expression=Lower("text"), output_field=models.CharField(max_length=20), db_persist=True
    )
    kind = models.CharField(max_length=10, db_default="noun")
    count = models.IntegerField(default=0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.text
