"""`CachedManager`: a manager whose querysets can answer from the cache, and whose rows are kept one by one."""

from __future__ import annotations

from typing import Any, Unpack, cast

from django.core.exceptions import ImproperlyConfigured
from django.db import models

from cachekit.conf import Conf
from cachekit.orm.bare import adds_only
from cachekit.orm.queries import CachedQuerySet, begin
from cachekit.orm.rows import Rows, rows_of
from cachekit.specs import Options, policy_of


class CachedManager(models.Manager.from_queryset(CachedQuerySet)):  # type: ignore[misc]
    """A manager with `.cached()`: `objects = CachedManager()`, then `Product.objects.cached(600).filter(…)`.

    With `rows=True`, `rows=600` (seconds, None for no limit) or `rows={"timeout": 600, "alias": "rows"}`, what is
    fetched by primary key comes from the cache: `get(pk=…)`, `in_bulk([…])`, and foreign keys to the model.
    """

    def __init__(self, *, rows: bool | float | Options | None = False) -> None:
        super().__init__()
        self._cachekit_rows = _options(rows)
        self._cachekit_known: Rows | None = None

    def get_queryset(self) -> CachedQuerySet[Any]:
        """Return a queryset that knows how rows are kept."""
        found = super().get_queryset()
        found._cachekit_rows = self._cachekit_rows
        return cast("CachedQuerySet[Any]", found)

    def cached(self, *args: float | None, **options: Unpack[Options]) -> CachedQuerySet[Any]:
        """Return a queryset that answers from the cache: rows, `get`, `first`, `count`, `exists`, `aggregate`."""
        if args:
            (options["timeout"],) = args
        found = self.get_queryset()
        begin(found, options)
        return found

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Return the one row: from the cache of rows where its primary key is all that is asked for."""
        rows = self.rows
        if rows is not None and (value := rows.asked(args, kwargs)) is not None:
            found = rows.get(value, self._db, self._hints)
            if found is not None:
                return found
        return self.get_queryset().get(*args, **kwargs)

    async def aget(self, *args: Any, **kwargs: Any) -> Any:
        """Like `get`."""
        rows = self.rows
        if rows is not None and (value := rows.asked(args, kwargs)) is not None:
            found = await rows.aget(value, self._db, self._hints)
            if found is not None:
                return found
        return await self.get_queryset().aget(*args, **kwargs)

    @property
    def keeps_rows(self) -> tuple[tuple[str, Any], ...] | None:
        """Return the options by which rows are kept; None where they are not."""
        return self._cachekit_rows

    @property
    def rows(self) -> Rows | None:
        """Return how rows are kept; None where they are not, or where this manager may hide some of them."""
        if self._cachekit_rows is None:
            return None
        known = self._cachekit_known
        if known is None or known.model is not self.model:
            if not adds_only(type(self)) or not adds_only(self._queryset_class):
                return None
            known = self._cachekit_known = rows_of(self.model, self._cachekit_rows)
        return known


def _options(rows: bool | float | Options | None) -> tuple[tuple[str, Any], ...] | None:
    """Return what `rows=` says, None where rows are not kept. Raises ImproperlyConfigured for what cannot be meant."""
    if rows is False:
        return None
    options: Any = {} if rows is True else rows if isinstance(rows, dict) else {"timeout": rows}
    found = tuple(sorted(options.items()))
    if strange := sorted({"tags", "codec"} & options.keys()):
        raise ImproperlyConfigured(
            f"CachedManager(rows=…) takes no {strange[0]!r}: a row depends on itself, and has a form of its own."
        )
    try:
        policy_of(Conf(), tuple(one for one in found if one[0] != "alias"))
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"CachedManager(rows={rows!r}): {error}. Say rows=True, a number of seconds, or rows={{'timeout': 600}}."
        ) from error
    return found
