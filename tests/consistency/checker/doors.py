"""How each library reads what there is to read, and what its documentation says to do after a write."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Count, Max

from tests.consistency.checker.models import Item, Label
from tests.consistency.checker.world import (
    ALL,
    ITEMS,
    LABELS,
    PAGE,
    PAGES,
    ROW,
    SHELF,
    SHELVES,
    TOTAL,
    Seen,
    labelled_of,
    pages_of,
    rows_of,
)

TIMEOUT = 3600
BLIND_DOORS = frozenset({"update", "expression", "bulk_update", "raw"})
"""What cacheops does not see: its documentation says to invalidate by hand."""


class Change(NamedTuple):
    """What one operation did to one item."""

    operation: str
    item: int
    before: int
    after: int


def rows_in(found: Collection[Item]) -> Seen:
    """Return what these instances show."""
    return [(one.pk, one.stamp) for one in found]


class Doors:
    """Plain Django: what a library like cachalot answers from its cache without being asked."""

    def read(self, kind: int, number: int) -> Seen:
        """Read one value of a kind."""
        return (self.row, self.shelf, self.page, self.total)[kind](number)

    def row(self, number: int) -> Seen:
        """Return one row by its key; numbers begin at nought."""
        return rows_in(list(Item.objects.filter(pk=number + 1)))

    def shelf(self, number: int) -> Seen:
        """Return the rows of a slice."""
        return rows_in(list(Item.objects.filter(shelf=number)))

    def page(self, number: int) -> Seen:
        """Return what is computed from several rows, the labels of one and a slice."""
        rows = list(Item.objects.filter(pk__in=rows_of(number)))
        if random.random() < 0.3:
            time.sleep(random.random() * 0.004)
        labelled = labelled_of(number)
        labels = [one.pk for one in Label.objects.filter(items=labelled)]
        return [*rows_in(rows), (LABELS + labelled, max(labels, default=0)), *self.shelf(number % SHELVES)]

    def total(self, _: int = 0) -> Seen:
        """Return the greatest stamp of the table, or nought where rows are missing."""
        found = Item.objects.aggregate(count=Count("pk"), top=Max("stamp"))
        return [(ALL, found["top"] if found["count"] == ITEMS else 0)]

    def wrote(self, changes: Collection[Change]) -> None:
        """Do by hand what the library needs, in the transaction that wrote."""


class CachekitDoors(Doors):
    """Functions and queries of cachekit."""

    def __init__(self) -> None:
        from cachekit import cached, cached_query

        self._query: Callable[..., list[Any]] = cached_query
        self.row = cached(TIMEOUT, name="checker.row")(super().row)  # type: ignore[method-assign]
        self.page = cached(TIMEOUT, name="checker.page")(super().page)  # type: ignore[method-assign]
        self.total = cached(TIMEOUT, name="checker.total")(super().total)  # type: ignore[method-assign]

    def shelf(self, number: int) -> Seen:
        return rows_in(self._query(Item.objects.filter(shelf=number), TIMEOUT))


class BlindDoors(CachekitDoors):
    """A wrong variant, which shows that the checker finds what is wrong: no intents, every other COMMIT untold."""

    def __init__(self) -> None:
        super().__init__()
        from cachekit.core.steps import Intend, Invalidate, Step
        from cachekit.stores.redis import RedisStore

        plain = RedisStore.do

        def forgetful(store: RedisStore, step: Step) -> Any:
            if isinstance(step, Intend) or (isinstance(step, Invalidate) and random.random() < 0.5):
                return None
            return plain(store, step)

        RedisStore.do = forgetful  # type: ignore[assignment, method-assign]


class CacheopsDoors(Doors):
    """Automatic caching of querysets, `cached_as` for the page, `invalidate_model` where the documentation asks."""

    def __init__(self) -> None:
        from cacheops import cached_as, invalidate_model

        self._invalidate_model = invalidate_model
        samples = (Item, Label, Item.labels.through)
        self.page = cached_as(*samples, timeout=TIMEOUT)(super().page)  # type: ignore[method-assign]

    def wrote(self, changes: Collection[Change]) -> None:
        if any(one.operation in BLIND_DOORS for one in changes):
            self._invalidate_model(Item)


class AsideDoors(Doors):
    """What most projects write: get, else read and set; delete every key that shows the row, on commit."""

    def __init__(self) -> None:
        from django.core.cache import cache

        self._cache = cache

    def read(self, kind: int, number: int) -> Seen:
        key = f"{kind}:{number}"
        found: Seen | None = self._cache.get(key)
        if found is None:
            found = super().read(kind, number)
            self._cache.set(key, found, TIMEOUT)
        return found

    def wrote(self, changes: Collection[Change]) -> None:
        keys = {f"{TOTAL}:0"}
        for one in changes:
            keys |= {f"{ROW}:{one.item - 1}", f"{PAGE}:{pages_of(one.item)}"}
            shelves = {one.before, one.after}
            keys |= {f"{SHELF}:{shelf}" for shelf in shelves}
            keys |= {f"{PAGE}:{page}" for page in range(PAGES) if page % SHELVES in shelves}
        transaction.on_commit(lambda: self._cache.delete_many(sorted(keys)))
