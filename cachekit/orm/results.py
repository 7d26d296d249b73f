"""In which form the results of a queryset are kept: rows of plain values where those say it all, else as they are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django.db.models import Model
from django.db.models.query import FlatValuesListIterable, ModelIterable, ValuesIterable, ValuesListIterable

from cachekit.core.codecs import Codec
from cachekit.core.rowcodec import frozen
from cachekit.exceptions import UncacheableValue
from cachekit.orm.bare import FETCH_ONE, adds_only
from cachekit.orm.instances import maker_of, opened
from cachekit.packers import packer, row_codec
from cachekit.specs import CodecOf

logger = logging.getLogger("cachekit.rows")

Rows = tuple[tuple[Any, ...], ...]
"""The names of the columns, unless they are all of the model's, then the rows; nothing where there are none."""


class Form(NamedTuple):
    """How results are read from the database, kept, and handed out."""

    name: str
    codec_of: CodecOf
    read: Callable[[Any], Any]
    """Evaluates a queryset."""
    given: Callable[[Any, Any, str], list[Any]]
    """Makes of what is kept, for a queryset and the alias of its database, a list that is its reader's own."""


class _Unfit:
    """Models with columns whose values are no plain ones, as far as this process has seen."""

    def __init__(self) -> None:
        self._models: set[type[Model]] = set()

    def note(self, model: type[Model], reason: object) -> None:
        """Note that results of a model must be kept as they are."""
        if model not in self._models:
            self._models.add(model)
            logger.info("Results of %s are kept as pickles: %s", model._meta.label_lower, reason)

    def __contains__(self, model: type[Model]) -> bool:
        return model in self._models


unfit = _Unfit()


def form_of(queryset: Any) -> Form:
    """Return the form for a queryset whose shape is known, so that it holds nothing but columns."""
    found = _FORMS.get(queryset._iterable_class)
    query = queryset.query
    if (
        found is None
        or query.select_related
        or queryset._prefetch_related_lookups
        or getattr(queryset, "_fetch_mode", FETCH_ONE) is not FETCH_ONE
        or queryset.model in unfit
        or not adds_only(type(queryset))
    ):
        return AS_THEY_ARE
    return found


def _packed(queryset: Any, names: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> Any:
    if not rows:
        return ()
    try:
        return (names, *map(frozen, rows))
    except UncacheableValue as error:
        unfit.note(queryset.model, error)
        return (names, *map(tuple, rows))  # which the codec refuses too, so that they are handed out and not stored


def _read_instances(queryset: Any) -> Any:
    """Read the columns of which instances are made, as Django's own iterable does."""
    compiler = queryset.query.get_compiler(using=queryset.db)
    results = compiler.execute_sql()
    chosen = compiler.klass_info["select_fields"]
    start, end = chosen[0], chosen[-1] + 1
    names = tuple(one[0].target.attname for one in compiler.select[start:end])
    every = tuple(field.attname for field in queryset.model._meta.concrete_fields)
    rows = [row[start:end] for row in compiler.results_iter(results)]
    return _packed(queryset, () if names == every else names, rows)


def _make_instances(kept: Rows, queryset: Any, using: str) -> list[Any]:
    if not kept:
        return []
    return maker_of(queryset.model, kept[0]).make_all(kept[1:], using)


def _read_tuples(queryset: Any) -> Any:
    return _packed(queryset, (), list(queryset))


def _make_tuples(kept: Rows, queryset: Any, using: str) -> list[Any]:
    return [tuple(opened(row)) for row in kept[1:]]


def _read_flat(queryset: Any) -> Any:
    return _packed(queryset, (), [(one,) for one in queryset])


def _make_flat(kept: Rows, queryset: Any, using: str) -> list[Any]:
    return [opened(row)[0] for row in kept[1:]]


def _read_dicts(queryset: Any) -> Any:
    rows = list(queryset)
    return _packed(queryset, tuple(rows[0]) if rows else (), [tuple(row.values()) for row in rows])


def _make_dicts(kept: Rows, queryset: Any, using: str) -> list[Any]:
    return [dict(zip(kept[0], opened(row), strict=True)) for row in kept[1:]] if kept else []


def _as_they_are(kept: Any, queryset: Any, using: str) -> list[Any]:
    return kept  # type: ignore[no-any-return]


def _rows(alias: str, codec: str) -> Codec:
    return row_codec(alias, many=True)


AS_THEY_ARE = Form("whole", packer, list, _as_they_are)
_FORMS: dict[Any, Form] = {
    ModelIterable: Form("instances", _rows, _read_instances, _make_instances),
    ValuesIterable: Form("dicts", _rows, _read_dicts, _make_dicts),
    ValuesListIterable: Form("tuples", _rows, _read_tuples, _make_tuples),
    FlatValuesListIterable: Form("flat", _rows, _read_flat, _make_flat),
}


def related(queryset: Any, found: list[Any]) -> list[Any]:
    """Point rows back to the objects through which they were asked for, as Django does for rows it fetched."""
    for field, known in queryset._known_related_objects.items():
        for one in found:
            if isinstance(one, Model) and not field.is_cached(one):
                related = known.get(getattr(one, field.attname, None))
                if related is not None:
                    setattr(one, field.name, related)
    return found
