"""One table."""

from __future__ import annotations

from django.db import models


class Item(models.Model):
    """A row that is saved over and over."""

    name = models.CharField(max_length=50)
    rank = models.IntegerField(default=0)

    class Meta:
        app_label = "writes"

    def __str__(self) -> str:
        return self.name
