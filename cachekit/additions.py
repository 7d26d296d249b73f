"""Add many numbers to one column of a table, each to the row that its key names."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import DataError, IntegrityError, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from cachekit.exceptions import InvalidKey

logger = logging.getLogger("cachekit.writebehind")

AT_ONCE = 200
"""So many keys go into one statement: an UPDATE of more rows would invalidate the table whole instead of its rows."""

NUMBERS = (models.IntegerField, models.FloatField, models.DecimalField)

REFUSALS = (IntegrityError, DataError, OverflowError)
"""A row that raises these will raise them the next time too."""


class Outcome(NamedTuple):
    """How many rows took an addition, had no row (any more), or were refused by the database."""

    rows: int = 0
    missing: int = 0
    refused: int = 0

    def plus(self, other: Outcome) -> Outcome:
        """Return the sum of both."""
        return Outcome(self.rows + other.rows, self.missing + other.missing, self.refused + other.refused)


class Column:
    """A numeric column of a model, and the unique field whose value tells one row from another."""

    def __init__(self, model: type[models.Model], field: str, key: str) -> None:
        _require(model, field)
        self.model = model
        self.field = _field(model, field)
        self.key = _field(model, model._meta.pk.name if key == "pk" else key)
        if not isinstance(self.field, NUMBERS) or self.field.primary_key:
            raise ValueError(f"{self.field} is a {type(self.field).__name__}; only a number can be counted up.")
        if not self.key.unique:
            raise ValueError(f"{self.key} is not unique: name the primary key, or a field with unique=True, as key.")

    @cached_property
    def target(self) -> models.Field[Any, Any]:
        """Return the field whose values are the keys: behind a one-to-one relation, that of the other model."""
        found = self.key
        while isinstance(found, models.ForeignKey):
            found = found.target_field
        return found

    @cached_property
    def makes_rows(self) -> bool:
        """Tell whether a missing row can be made: its key is not the database's to give, all else has a default."""
        others = [field for field in self.model._meta.concrete_fields if field not in (self.key, self.field)]
        return not isinstance(self.key, models.AutoField) and all(map(_fills_itself, others))

    def text_of(self, key: object) -> str:
        """Return a key as the text it has in a backlog. Raises InvalidKey where no row can have it."""
        try:
            value = self.target.clean(key, None)
            text = str(value)
            text.encode()
        except (ValidationError, TypeError, ValueError) as error:
            why = " ".join(error.messages) if isinstance(error, ValidationError) else error
            raise InvalidKey(f"{self.field} is counted by {self.key.name}, which cannot be {key!r}: {why}") from error
        if value is None or "\0" in text:
            raise InvalidKey(f"{self.field} is counted by {self.key.name}, which cannot be {key!r}.")
        return text

    def add(self, additions: Mapping[str, int], using: str) -> Outcome:
        """Add to the rows of these keys, inside a transaction that the caller has opened.

        A row that the database refuses (a constraint, a number out of range) is logged and left out: it must not
        keep the others waiting for ever.
        """
        wanted: defaultdict[Any, int] = defaultdict(int)
        for text, n in additions.items():
            wanted[self.target.to_python(text)] += n
        try:
            with transaction.atomic(using=using):
                return self._add(wanted, using)
        except REFUSALS:
            return self._add_singly(wanted, using)

    def _add_singly(self, wanted: Mapping[Any, int], using: str) -> Outcome:
        outcome = Outcome()
        for key, n in wanted.items():
            try:
                with transaction.atomic(using=using):
                    outcome = outcome.plus(self._add({key: n}, using))
            except REFUSALS as error:
                logger.error("%s where %s=%r did not take %+d: %s", self.field, self.key.name, key, n, error)  # noqa: TRY400 - one line a row
                outcome = outcome.plus(Outcome(refused=1))
        return outcome

    def _add(self, wanted: Mapping[Any, int], using: str) -> Outcome:
        if self.makes_rows:
            self._make_missing(list(wanted), using)
        by_number: defaultdict[int, list[Any]] = defaultdict(list)
        for key, n in wanted.items():
            by_number[n].append(key)
        present = F(self.field.name) if not self.field.null else Coalesce(F(self.field.name), Value(0))
        rows = 0
        for n, keys in by_number.items():
            for some in _portions(keys):
                found = self.model._base_manager.using(using).filter(**{f"{self.key.attname}__in": some})
                rows += found.update(**{self.field.name: present + n})
        return Outcome(rows=rows, missing=len(wanted) - rows)

    def _make_missing(self, keys: Sequence[Any], using: str) -> None:
        """Make rows that count from the default, or from 0; a row that another made meanwhile stays as it is."""
        name = self.key.attname
        start = {} if self.field.has_default() else {self.field.name: 0}
        for some in _portions(keys):
            known = self.model._base_manager.using(using).filter(**{f"{name}__in": some}).values_list(name, flat=True)
            absent = self._allowed(set(some).difference(known), using)
            made = [self.model(**{name: key}, **start) for key in absent]
            self.model._base_manager.using(using).bulk_create(made, ignore_conflicts=True)

    def _allowed(self, keys: set[Any], using: str) -> set[Any]:
        """Return the keys that a relation permits: those whose other row is there."""
        if not isinstance(self.key, models.ForeignKey) or not keys:
            return keys
        name = self.key.target_field.attname
        others = self.key.related_model._base_manager.using(using)
        return set(others.filter(**{f"{name}__in": keys}).values_list(name, flat=True))


def _portions(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(keys), AT_ONCE):
        yield keys[start : start + AT_ONCE]


def _require(model: Any, field: str) -> None:
    """Raise TypeError where no model or no column is named."""
    if not (isinstance(model, type) and issubclass(model, models.Model)):
        raise TypeError(
            f"WriteBehindCounter takes a model and the name of its column: (Product, 'views'); not {model!r}."
        )
    if not field:
        names = ", ".join(one.name for one in model._meta.fields if isinstance(one, NUMBERS) and not one.primary_key)
        raise TypeError(
            f"WriteBehindCounter({model.__name__}) does not say what is counted: name one of its columns"
            f" that hold numbers ({names or 'it has none'})."
        )


def _field(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    try:
        found = model._meta.get_field(name)
    except FieldDoesNotExist as error:
        names = ", ".join(field.name for field in model._meta.concrete_fields)
        raise ValueError(f"{model._meta.label} has no field '{name}' (it has: {names}).") from error
    if not isinstance(found, models.Field):
        raise ValueError(f"{model._meta.label}.{name} is a relation from elsewhere, not a column.")  # noqa: TRY004 - what is wrong is the value
    return found


def _fills_itself(field: models.Field[Any, Any]) -> bool:
    by_django = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False) or field.has_default()
    by_database = field.generated or isinstance(field, models.AutoField) or field.has_db_default()
    return bool(by_django or by_database or field.null)
