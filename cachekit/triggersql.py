"""The SQL of a model's triggers: what a statement changed becomes one row for the relay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.db import models
from django.db.models import Field, ForeignKey, Model

from cachekit import registry
from cachekit.core.tags import LONGEST_VALUE, RAW, VALUES

TRANSITIONS = {
    "insert": ("new_rows",),
    "update": ("old_rows", "new_rows"),
    "delete": ("old_rows",),
    "truncate": (),
}
NAMES = ("o", "r")
"""What old and new rows are called in a query; where there are only old or only new ones they are `r`."""
MAX_ROWS = 200
"""A statement that changes more rows tells of every row: one tag instead of hundreds."""

PLAIN = (
    *(models.AutoField, models.BigAutoField, models.SmallAutoField),
    *(models.IntegerField, models.BigIntegerField, models.SmallIntegerField),
    *(models.PositiveIntegerField, models.PositiveBigIntegerField, models.PositiveSmallIntegerField),
    models.UUIDField,
)
"""What PostgreSQL writes as `core.canonical` does."""
TEXTS = (models.CharField, models.TextField, models.SlugField, models.EmailField, models.URLField)
OTHERS = (models.BooleanField, models.DecimalField, models.DateField, models.DateTimeField, models.TimeField)
"""What PostgreSQL writes as Django reads it; dates of another `DateStyle` than ISO are not understood: told whole."""

FUNCTION = """
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $function$
#variable_conflict use_column
DECLARE
    told pg_catalog.text;
    touched bigint;
BEGIN
    {telling}
    INSERT INTO {changes} (tags, written_at, transaction)
    VALUES (told, pg_catalog.clock_timestamp(), pg_catalog.txid_current());
    IF pg_catalog.current_setting('cachekit.listens', true) OPERATOR(pg_catalog.=) 'on' THEN
        RAISE INFO 'cachekit % %', pg_catalog.txid_current(), told;
    END IF;
    RETURN NEW;
END
$function$
"""
"""Each name in it says its schema, for the caller has a search path of their own: to set one costs 6 µs a call.
`NEW` is null here, and need not be computed as `NULL` would."""

ONE_ROW = """
    IF pg_catalog.current_setting('cachekit.listens', true) OPERATOR(pg_catalog.=) 'on' THEN
        NULL;
    ELSE
        {opening}
        INSERT INTO {changes} (tags, written_at, transaction)
        SELECT {values}, pg_catalog.clock_timestamp(), pg_catalog.txid_current()
        FROM {tables} LIMIT 2;
        GET DIAGNOSTICS touched = ROW_COUNT;
        IF touched OPERATOR(pg_catalog.<) 2 THEN
            RETURN NEW;
        END IF;
        {closing}
    END IF;
"""
"""What most statements do: change one row, for a client that does not listen. Its old and new values are written as
they are, for to compare them, to look into them or to make lines of them costs more than to write them. No block
catches errors, which would cost as much as another query: a column that is gone is found in `MISSING` instead. Columns
stand in the table's order, which spares a step. Where a statement changes more rows, two of them are told twice."""
MISSING = "<<{row}>> DECLARE {columns} BEGIN"
"""Where names are looked for that are no columns (any more): they stand for the trigger's, known to `outbox.lines`."""

ROWS = """
    BEGIN
        SELECT {values} INTO STRICT told FROM {tables};
    EXCEPTION WHEN OTHERS THEN
        told := NULL;  -- another number of rows than one; or a column has been renamed
    END;
    IF told IS NULL THEN
        BEGIN
            SELECT pg_catalog.count(*), pg_catalog.string_agg({lines}, E'\\n')
            INTO touched, told FROM ({rows}) AS r;
            IF touched OPERATOR(pg_catalog.=) 0 THEN
                RETURN NEW;
            END IF;
            told := CASE WHEN touched OPERATOR(pg_catalog.>) {most} THEN {whole}
                         ELSE {family} OPERATOR(pg_catalog.||) E'\\n' OPERATOR(pg_catalog.||) told END;
        EXCEPTION WHEN OTHERS THEN
            told := {whole};  -- tell of everything, and let the writer write
        END;
    END IF;
"""
"""The others; and of one that changes a single row, for a client that wants to hear of it."""


class Column(NamedTuple):
    """How the value of a column is told: `start` and the value, or `null`, or `every` where it cannot be."""

    name: str
    token: str
    """What stands for it before the values of one row: see `outbox.lines`."""
    start: str
    null: str
    every: str
    kind: str
    """`plain`, `text`, `other`, or `whole` for types that are always told as a whole."""
    bounded: bool
    nullable: bool

    @classmethod
    def of(cls, name: str, field: Field[Any, Any], before: str, *, is_key: bool) -> Column:
        """Look at the type of a field."""
        target: Any = field
        while isinstance(target, ForeignKey):
            target = target.target_field
        kind = "whole"
        for one, types in (("plain", PLAIN), ("text", TEXTS), ("other", OTHERS)):
            if type(target) in types:
                kind = one
        sign, label = ("#", "") if is_key else ("?", field.name)
        equals = "" if is_key else "="
        start = f"{before}{sign}{label}{equals if kind == 'plain' else RAW}"
        bounded = kind != "text" or (target.max_length or LONGEST_VALUE + 1) <= LONGEST_VALUE
        null, every = f"{before}{sign}{label}{equals}~null", f"{before}{sign}*"
        token = f"{label or sign}{'=' if kind == 'plain' else ''}"
        return cls(name, token, start, null, every, kind, bounded, field.null)

    def fits(self, row: str) -> list[str]:
        """Return the conditions under which a value that is not null can be told on a line."""
        if self.kind != "text":
            return []
        value = f"{row}.{self.name}"
        found = [f"{value} COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.!~~) E'%\\n%'"]
        if not self.bounded:
            found.append(f"pg_catalog.length({value}) OPERATOR(pg_catalog.<=) {LONGEST_VALUE}")
        return found

    def format(self) -> str:
        """Return how `format()` is to write the value: text in quotes, and whatever may be null too."""
        return "%L" if self.nullable or self.kind == "text" else "%s"

    def value(self, row: str) -> str:
        """Return SQL for the value, of text no more than it takes to know that it is too long."""
        found = f"{row}.{self.name}"
        return found if self.bounded else f"pg_catalog.left({found}::pg_catalog.text, {LONGEST_VALUE + 1})"

    def line(self) -> str:
        """Return SQL for what is told of row `r`."""
        value = f"r.{self.name}"
        if self.kind == "whole":
            return quoted(self.every)
        if self.kind == "plain":
            return f"pg_catalog.concat({quoted(self.start)}, {value}, CASE WHEN {value} IS NULL THEN '~null' END)"
        made, fits = f"pg_catalog.concat({quoted(self.start)}, {value})", " AND ".join(self.fits("r"))
        rest = f"WHEN {fits} THEN {made} ELSE {quoted(self.every)}" if fits else f"ELSE {made}"
        return f"CASE WHEN {value} IS NULL THEN {quoted(self.null)} {rest} END"


class Told(NamedTuple):
    """A model's table as its triggers know it."""

    family: str
    columns: tuple[Column, ...]
    changes: str
    has_more: bool
    """Whether there are indexes that these triggers do not know."""

    def body(self, function: str, event: str) -> str:
        """Return the SQL that makes the function for an event."""
        tables = TRANSITIONS[event]
        telling = self._one_row(tables) + self._telling(tables) if tables else f"told := {self._whole()};"
        return FUNCTION.format(function=function, changes=self.changes, telling=telling.strip()).strip()

    def _one_row(self, tables: Sequence[str]) -> str:
        names = NAMES[-len(tables) :]
        aliases = " ".join(f"{one.name} ALIAS FOR tg_name;" for one in self.columns)
        return ONE_ROW.format(
            opening=" ".join(MISSING.format(row=name, columns=aliases) for name in names),
            changes=self.changes,
            values=self._values(names),
            tables=", ".join(f"{table} AS {name}" for table, name in zip(tables, names, strict=True)),
            closing=" ".join("END;" for _ in names),
        )

    def _telling(self, tables: Sequence[str]) -> str:
        names = NAMES[-len(tables) :]
        told = [one for one in self.columns if one.kind != "whole"]
        lines = [*(one.line() for one in self.columns), *self._unknown(quoted)]
        selected = ", ".join(one.name for one in told) or "1"
        limit = MAX_ROWS + 1
        return ROWS.format(
            values=self._values(names),
            tables=", ".join(f"{table} AS {name}" for table, name in zip(tables, names, strict=True)),
            lines=" OPERATOR(pg_catalog.||) E'\\n' OPERATOR(pg_catalog.||) ".join(lines),
            rows=" UNION ALL ".join(f"(SELECT {selected} FROM {one} LIMIT {limit})" for one in tables),  # noqa: S608 - names out of models
            most=MAX_ROWS * len(tables),
            whole=self._whole(),
            family=quoted(self.family),
        )

    def _values(self, rows: Sequence[str]) -> str:
        """Return SQL for what is told of one row: lines, the columns' tokens, and the values of each in these rows."""
        told = sorted((one for one in self.columns if one.kind != "whole"), key=lambda one: one.kind)
        lines = [self.family, *(one.every for one in self.columns if one.kind == "whole"), *self._unknown(str)]
        pairs = [(one, row) for one in told for row in rows]  # those of a type together: their output is looked up once
        text = "\n".join(lines).replace("%", "%%")
        tokens = ",".join(one.token for one, _ in pairs)
        template = VALUES.join((text, tokens, *(one.format() for one, _ in pairs)) if pairs else (text,))
        return f"pg_catalog.format({', '.join((quoted(template), *(one.value(row) for one, row in pairs)))})"

    def _unknown(self, written: Any) -> Iterator[str]:
        if self.has_more:
            yield written(f"{self.family}?*")

    def _whole(self) -> str:
        return quoted("\n".join(registry.whole(self.family)))


def told_of(model: type[Model], family: str, changes: str, quote: Any, known: Sequence[str] | None) -> Told:
    """Return what the triggers of a model tell; `known` are the columns of its table where not all exist yet."""
    indexes = registry.indexes_of(model)
    fields = [one for one in indexes if known is None or one.column in known]
    key = Column.of(quote(str(model._meta.pk.column)), model._meta.pk, family, is_key=True)
    others = (Column.of(quote(str(one.column)), one, family, is_key=False) for one in fields)
    return Told(family, (key, *others), changes, len(fields) < len(indexes))


def quoted(text: str) -> str:
    """Return text as SQL writes it, on one line."""
    plain = text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")
    plain = plain.replace(RAW, "\\x1f").replace(VALUES, "\\x1e")
    return f"E'{plain}'" if "\\" in plain else f"'{plain}'"
