"""Every way to write an item: each sets the stamp that it is given and returns which keys changed."""

from __future__ import annotations

import random
from collections.abc import Callable

from django.db import connection
from django.db.models import F

from tests.consistency.checker.models import Item, Label
from tests.consistency.checker.world import LABELS, SHELVES

Operation = Callable[[Item, int], list[int]]
"""Writes an item with a stamp; returns the keys of the logs that it changed."""


def save(item: Item, stamp: int) -> list[int]:
    """Save the instance."""
    item.stamp = stamp
    item.save()
    return [item.pk]


def move(item: Item, stamp: int) -> list[int]:
    """Save it onto another shelf."""
    item.shelf = _elsewhere(item)
    return save(item, stamp)


def update(item: Item, stamp: int) -> list[int]:
    """Update through a queryset, sometimes the declared index too."""
    if random.random() < 0.3:
        item.shelf = _elsewhere(item)
    Item.objects.filter(pk=item.pk).update(stamp=stamp, shelf=item.shelf)
    return [item.pk]


def expression(item: Item, stamp: int) -> list[int]:
    """Update with an F() expression."""
    Item.objects.filter(pk=item.pk).update(stamp=F("stamp") * 0 + stamp)
    return [item.pk]


def bulk_update(item: Item, stamp: int) -> list[int]:
    """Update with bulk_update."""
    item.stamp, item.shelf = stamp, _elsewhere(item)
    Item.objects.bulk_update([item], ["stamp", "shelf"])
    return [item.pk]


def raw(item: Item, stamp: int) -> list[int]:
    """Write SQL through Django's cursor."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE checker_item SET stamp = %s WHERE id = %s", [stamp, item.pk])
    return [item.pk]


def renew(item: Item, stamp: int) -> list[int]:
    """Delete and create it again, with a label."""
    pk = item.pk
    item.delete()
    item.pk, item.stamp = pk, stamp
    item.save(force_insert=True)
    return [pk, *add_label(item, stamp)]


def add_label(item: Item, stamp: int) -> list[int]:
    """Add a label and remove the others."""
    old = list(item.labels.all())
    item.labels.add(_label(stamp))
    item.labels.remove(*old)
    return [LABELS + item.pk]


def set_labels(item: Item, stamp: int) -> list[int]:
    """Set the labels to one new one."""
    item.labels.set([_label(stamp)])
    return [LABELS + item.pk]


def clear_labels(item: Item, stamp: int) -> list[int]:
    """Clear the labels and add one from the other side."""
    item.labels.clear()
    _label(stamp).items.add(item)  # type: ignore[attr-defined] # the other side of Item.labels
    return [LABELS + item.pk]


OPERATIONS: dict[str, Operation] = {
    "save": save,
    "move": move,
    "update": update,
    "expression": expression,
    "bulk_update": bulk_update,
    "raw": raw,
    "renew": renew,
    "add_label": add_label,
    "set_labels": set_labels,
    "clear_labels": clear_labels,
}


def _label(stamp: int) -> Label:
    return Label.objects.get_or_create(pk=stamp)[0]


def _elsewhere(item: Item) -> int:
    return (item.shelf + random.randrange(1, SHELVES)) % SHELVES
