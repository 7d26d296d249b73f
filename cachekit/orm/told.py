"""Querysets that know by what calls they were made, so that a known series of calls needs no query to be built.

A call that was made before on the same model with the same values does what it did then. Until somebody asks for the
query, only the calls are remembered; whoever asks may change it, so that the calls no longer tell what it is.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any, TypeVar, cast

from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)

MOST_KNOWN = 20_000
LONGEST = 1000
_PLAIN = frozenset(
    {int, str, bool, type(None), float, decimal.Decimal, datetime.date, datetime.timedelta, uuid.UUID, bytes}
)
"""Values whose `repr` tells them from all others of these types, and which mean the same at each call."""
_known: set[tuple[type, str]] = set()
"""Series of calls that were made without an error."""

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


class ToldQuerySet(QuerySet[M]):
    """A queryset that can tell by what calls it was made, and makes its query when that is asked for."""

    _cachekit_told: str | None = None
    """The calls since it held all rows; None where somebody may have changed the query in another way."""
    _cachekit_calls: tuple[Call, ...] = ()

    @property
    def query(self) -> Any:
        """Return the query, built by now; it may be changed from now on."""
        self._cachekit_told = None
        me: Any = self
        if me._query is None:
            me._query = self._built()._query
        return cast("Any", QuerySet.query).fget(self)

    @query.setter
    def query(self, value: Any) -> None:
        self._cachekit_told = None
        cast("Any", QuerySet.query).fset(self, value)

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        """Like Django's."""
        if args or self._cachekit_told is None or not _is_plain(kwargs):
            return super().filter(*args, **kwargs)
        return self._called(f"|filter{kwargs!r}", ("filter", (), kwargs))

    def exclude(self, *args: Any, **kwargs: Any) -> Any:
        """Like Django's."""
        if args or self._cachekit_told is None or not _is_plain(kwargs):
            return super().exclude(*args, **kwargs)
        return self._called(f"|exclude{kwargs!r}", ("exclude", (), kwargs))

    def order_by(self, *names: Any) -> Any:
        """Like Django's."""
        if self._cachekit_told is None or any(type(name) is not str for name in names):
            return super().order_by(*names)
        return self._called(f"|order_by{names!r}", ("order_by", names, {}))

    def __getitem__(self, key: Any) -> Any:
        """Like Django's."""
        if self._cachekit_told is None or self._result_cache is not None or not _is_plain_slice(key):
            return super().__getitem__(key)
        return self._called(f"|slice{(key.start, key.stop)!r}", ("__getitem__", (key,), {}))

    def _called(self, text: str, call: Call) -> Any:
        """Return what a call returns: its query is built now if nobody made these calls before."""
        me: Any = self
        told = f"{self._cachekit_told}{text}"
        calls, known = (*self._cachekit_calls, call), (me.model, told)
        if known in _known:
            found: Any = me.__class__.__new__(me.__class__)
            found.__dict__ = {**me.__dict__, "_query": None, "_result_cache": None, "_prefetch_done": False}
        else:
            before = self._cachekit_told
            found = getattr(QuerySet, call[0])(self, *call[1], **call[2])
            self._cachekit_told = before  # Django has looked at the query, and left it alone
            if len(told) > LONGEST:
                return found
            if len(_known) >= MOST_KNOWN:
                _known.clear()
            _known.add(known)
        found._cachekit_told, found._cachekit_calls = told, calls
        return found

    def _built(self) -> Any:
        me: Any = self
        found: Any = me.__class__(model=me.model, using=me._db, hints=me._hints)  # noqa: SLF001 - its own
        for name, args, kwargs in self._cachekit_calls:
            found = getattr(QuerySet, name)(found, *args, **kwargs)
        return found


def _is_plain(kwargs: dict[str, Any]) -> bool:
    """Tell whether the values of a call tell it from all others of these names; lists become ours."""
    for name, value in kwargs.items():
        if type(value) in _PLAIN:
            continue
        if type(value) not in (list, tuple) or not _PLAIN.issuperset(map(type, value)):
            return False
        kwargs[name] = tuple(value)  # its owner may go on changing a list
    return True


def _is_plain_slice(key: Any) -> bool:
    return type(key) is slice and key.step is None and _is_mark(key.start) and _is_mark(key.stop)


def _is_mark(value: Any) -> bool:
    return value is None or (type(value) is int and value >= 0)
