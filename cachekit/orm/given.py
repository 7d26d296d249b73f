"""What `cached_query` may be given beside querysets: models and managers, which stand for all their rows."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager
from django.db.models.query import RawQuerySet

M = TypeVar("M", bound=Model)
Asks: TypeAlias = "QuerySet[M, Any] | RawQuerySet[M] | BaseManager[M] | type[M]"


def asking(given: Any) -> Any:
    """Return the queryset, raw or not, that somebody means who gives a model or a manager. Raises TypeError."""
    if isinstance(given, BaseManager):
        return given.all()
    if isinstance(given, type) and issubclass(given, Model) and not given._meta.abstract:
        return given._default_manager.all()
    if not isinstance(given, QuerySet | RawQuerySet):
        raise TypeError(
            f"cached_query takes a queryset: cached_query(Product.objects.filter(…), 600); not {given!r}."
            " What is no query is kept by @cached on a function that returns it."
        )
    return given
