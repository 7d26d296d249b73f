"""Rows that carry the stamp of the transaction which wrote them last."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Label(models.Model):
    """What items are labelled with; its key is the stamp of the transaction that made it."""

    objects: ClassVar[models.Manager[Label]] = models.Manager()

    class Meta:
        app_label = "checker"

    def __str__(self) -> str:
        return str(self.pk)


class Item(models.Model):
    """A row with a version, in a slice that lists filter by."""

    CACHEKIT_INDEXES: ClassVar[tuple[str, ...]] = ("shelf",)

    shelf = models.IntegerField()
    stamp = models.BigIntegerField()
    labels: models.ManyToManyField[Label, models.Model] = models.ManyToManyField(Label, related_name="items")

    objects: ClassVar[models.Manager[Item]] = models.Manager()

    class Meta:
        app_label = "checker"

    def __str__(self) -> str:
        return f"{self.pk}@{self.stamp}"
