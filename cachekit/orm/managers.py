"""`CachedManager`: a manager whose querysets can answer from the cache, and whose rows are kept one by one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Never, Unpack, cast

from django.core.exceptions import ImproperlyConfigured
from django.db import models

from cachekit.conf import Conf
from cachekit.core.formats import hint
from cachekit.orm.bare import adds_only
from cachekit.orm.queries import ByDefault, CachedQuerySet, begin
from cachekit.orm.rows import Rows, rows_of
from cachekit.specs import Options, policy_of


class Keeping:
    """What a manager does whose rows, or whose querysets, answer from the cache."""

    _cachekit_rows: tuple[tuple[str, Any], ...] | None = None
    _cachekit_queries: ByDefault | None = None
    _cachekit_known: Rows | None = None

    def get_queryset(self: Any) -> CachedQuerySet[Any]:
        """Return a queryset that knows how rows are kept, and answers from the cache where all of them do."""
        found: Any = super().get_queryset()  # type: ignore[misc]
        if not isinstance(found, CachedQuerySet):  # a project's own manager made it by name
            found.__class__ = caching(found.__class__)
        found._cachekit_rows = self._cachekit_rows
        queries = self._cachekit_queries
        if queries is not None:
            begin(found, queries)
        elif self.name is None:  # a manager of a relation, which was told nothing
            found._cachekit_options = getattr(self.model._default_manager, "_cachekit_queries", None)
        return cast("CachedQuerySet[Any]", found)

    def cached(self: Any, *args: float | None, **options: Unpack[Options]) -> CachedQuerySet[Any]:
        """Return a queryset that answers from the cache: rows, `get`, `first`, `count`, `exists`, `aggregate`."""
        if args:
            (options["timeout"],) = args
        found: CachedQuerySet[Any] = self.get_queryset()
        begin(found, options)
        return found

    def get(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the one row: from the cache of rows where its primary key is all that is asked for."""
        rows = self.rows
        if rows is not None and (value := rows.asked(args, kwargs)) is not None:
            found = rows.get(value, self._db, self._hints)
            if found is not None:
                return found
        return self.get_queryset().get(*args, **kwargs)

    async def aget(self: Any, *args: Any, **kwargs: Any) -> Any:
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
    def rows(self: Any) -> Rows | None:
        """Return how rows are kept; None where they are not, or where this manager may hide some of them."""
        if self._cachekit_rows is None:
            return None
        known: Rows | None = self._cachekit_known
        if known is None or known.model is not self.model:
            if not adds_only(type(self)) or not adds_only(self._queryset_class):
                return None
            known = self._cachekit_known = rows_of(self.model, self._cachekit_rows)
        return known

    def keep(self, *, rows: bool | float | Options | None, queries: bool | float | Options | None) -> None:
        """Say what is kept, in place of what was said before. Raises ImproperlyConfigured for what cannot be meant."""
        self._cachekit_rows = options_of("rows", rows)
        found = options_of("queries", queries)
        self._cachekit_queries = None if found is None else ByDefault(found)
        self._cachekit_known = None


class CachedManager(Keeping, models.Manager.from_queryset(CachedQuerySet)):  # type: ignore[misc]
    """A manager with `.cached()`: `objects = CachedManager()`, then `Product.objects.cached(600).filter(…)`.

    With `rows=True`, `rows=600` (seconds, None for no limit) or `rows={"timeout": 600, "alias": "rows"}`, what is
    fetched by primary key comes from the cache: `get(pk=…)`, `in_bulk([…])`, and foreign keys to the model. With
    `queries=`, which takes the same, every queryset answers from the cache as if `.cached()` had been said.
    """

    def __init__(
        self,
        *said: Never,
        rows: bool | float | Options | None = False,
        queries: bool | float | Options | None = False,
        **strange: Never,
    ) -> None:
        if said:
            raise TypeError(
                f"CachedManager({', '.join(map(repr, said))}) does not say what is kept: rows fetched by primary key, "
                f"CachedManager(rows={said[0]!r}), or every queryset, CachedManager(queries={said[0]!r})?"
            )
        if strange:
            name = next(iter(strange))
            raise TypeError(f"CachedManager has no option {name!r}. {hint(name, ('rows', 'queries'))}")
        super().__init__()
        self.keep(rows=rows, queries=queries)


@lru_cache(maxsize=1024)
def caching(kind: Any) -> Any:
    """Return a class of querysets that is like another and can answer from the cache; pickles name the other."""
    if issubclass(kind, CachedQuerySet):
        return kind

    def reduced(self: Any) -> Any:
        return _unpickled, (kind,), self.__getstate__()

    return type(f"Cached{kind.__name__}", (CachedQuerySet, kind), {"__module__": __name__, "__reduce__": reduced})


def _unpickled(kind: Any) -> Any:
    made = caching(kind)
    return made.__new__(made)


def options_of(what: str, said: bool | float | Options | None) -> tuple[tuple[str, Any], ...] | None:
    """Return what `rows=` or `queries=` says, None for False. Raises ImproperlyConfigured for what cannot be meant."""
    if said is False:
        return None
    options: Any = {} if said is True else said if isinstance(said, dict) else {"timeout": said}
    found = tuple(sorted(options.items()))
    if what == "rows" and (strange := sorted({"tags", "codec", "volatile"} & options.keys())):
        raise ImproperlyConfigured(
            f"CachedManager(rows=…) takes no {strange[0]!r}: a row depends on itself, and has a form of its own."
        )
    try:
        policy_of(Conf(), tuple(one for one in found if one[0] != "alias"))
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"CachedManager({what}={said!r}): {error}."
            f" Say {what}=True, a number of seconds, or {what}={{'timeout': 600}}."
        ) from error
    return found
