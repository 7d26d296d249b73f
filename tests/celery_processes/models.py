"""Rows that are counted."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Page(models.Model):
    """Has its count beside its other columns."""

    title = models.CharField(max_length=20)
    views = models.PositiveBigIntegerField(default=0)

    objects: ClassVar[models.Manager[Page]] = models.Manager()

    def __str__(self) -> str:
        return self.title


class Word(models.Model):
    """Is made by the counter itself when it is first counted."""

    text = models.CharField(max_length=20, primary_key=True)
    uses = models.PositiveBigIntegerField(default=0)

    objects: ClassVar[models.Manager[Word]] = models.Manager()

    def __str__(self) -> str:
        return self.text
