"""Raw querysets that answer from the cache: `Product.objects.cached(60).raw("SELECT …")`."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from django.db.models import Prefetch
from django.db.models.query import RawQuerySet

from cachekit import engine
from cachekit.core import keys
from cachekit.databases import primary_of
from cachekit.exceptions import InvalidKey
from cachekit.orm.querykeys import RELEASE, door_of, parameter
from cachekit.orm.sqltext import READS, shape
from cachekit.specs import Options, surroundings

if TYPE_CHECKING:
    Base = RawQuerySet[Any]
else:
    Base = RawQuerySet


class CachedRawQuerySet(Base):
    """Like Django's; its instances come from the cache while no table of its SQL has been written."""

    _cachekit_options: Options | None = None
    _result_cache: list[Any] | None

    def _fetch_all(self) -> None:
        if self._result_cache is None and self._cachekit_options is not None:
            self._result_cache = raw_results(self, self._cachekit_options)
            self._prefetch_done = True
        super()._fetch_all()  # type: ignore[misc]

    def _clone(self) -> Any:
        return cached_raw(super()._clone(), self._cachekit_options)  # type: ignore[misc]

    def using(self, alias: str | None) -> Any:
        """Like Django's."""
        return cached_raw(super().using(alias), self._cachekit_options)


def cached_raw(queryset: Any, options: Options | None) -> Any:
    """Have a raw queryset that was just made answer from the cache."""
    if options is not None:
        queryset.__class__ = CachedRawQuerySet
        queryset._cachekit_options = options
    return queryset


def raw_results(queryset: Any, options: Options) -> list[Any]:
    """Return the instances of a raw queryset as a list that is its reader's own."""
    plain = copy.copy(queryset)
    plain.__class__ = RawQuerySet
    text = _text_of(queryset)
    if not text:
        return list(plain)
    return list(engine.get_or_set(door_of(queryset.model, options).spec(text), lambda: list(plain)))


def _text_of(queryset: Any) -> str:
    """Return what tells it from all others; nothing for what may write, or makes no key."""
    seen = shape(str(queryset.raw_query))
    lookups = queryset._prefetch_related_lookups
    if seen.verb not in READS or seen.hides_write or any(isinstance(one, Prefetch) for one in lookups):
        return ""
    params = queryset.params
    named = isinstance(params, dict)
    values = [(name, parameter(value)) for name, value in params.items()] if named else list(map(parameter, params))
    told = (RELEASE, "raw", primary_of(queryset.db), queryset.model._meta.label_lower, str(queryset.raw_query))
    try:
        return keys.fingerprint(*told, values, sorted(queryset.translations.items()), lookups, *surroundings())
    except InvalidKey:
        return ""
