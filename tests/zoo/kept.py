"""Test models whose rows are kept one by one: few, for each costs every test that empties the database."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models

from cachekit import CachedManager


class Money:
    """What a column of a project's own kind becomes."""

    def __init__(self, cents: int) -> None:
        self.cents = cents


class MoneyField(models.IntegerField):  # type: ignore[type-arg]
    """Reads objects of the project's own."""

    def from_db_value(self, value: int | None, expression: Any, connection: Any) -> Money | None:
        return None if value is None else Money(value)

    def get_prep_value(self, value: Any) -> Any:
        return value.cents if isinstance(value, Money) else value


class ShoutField(models.CharField):  # type: ignore[type-arg]
    """Reads plain values, though not those that stand in its column."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        return value and value.upper()


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
    shout = ShoutField(max_length=20, default="hey")
    above = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True, related_name="below")
    twin = models.OneToOneField("self", on_delete=models.SET_NULL, null=True, blank=True)
    author = models.ForeignKey("zoo.Author", on_delete=models.CASCADE, null=True, blank=True)

    objects = CachedManager(rows=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.title


class Draft(Sheet):
    """A proxy with the same rows, which has a say when an instance is made."""

    class Meta:
        proxy = True
        default_permissions = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.made = "by __init__"

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Draft:
        made = super().from_db(*args, **kwargs)
        made.made += ", of from_db"
        return made


class Coin(models.Model):
    """Has a column whose values cannot be kept."""

    worth = MoneyField()

    objects = CachedManager(rows=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"coin {self.pk}"
