"""Triggers in PostgreSQL that write what any client changes into the outbox: psql, COPY, TRUNCATE, cascades."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connections, models, router, transaction
from django.db.models import Field, ForeignKey, Model

from cachekit import registry
from cachekit.core.tags import MAX_LENGTH
from cachekit.exceptions import CachekitError
from cachekit.models import Outbox

TRANSITIONS = {
    "insert": "REFERENCING NEW TABLE AS new_rows",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "REFERENCING OLD TABLE AS old_rows",
    "truncate": "",
}
EVENTS = tuple(TRANSITIONS)
MAX_ROWS = 200
"""A statement that changes more rows tells of every row: one tag instead of hundreds."""
SKIPPED_APPS = ("cachekit", "sessions")
"""What `install` leaves out unless it is named: nobody caches sessions, and every request may write one."""

INTEGERS = (
    *(models.AutoField, models.BigAutoField, models.SmallAutoField),
    *(models.IntegerField, models.BigIntegerField, models.SmallIntegerField),
    *(models.PositiveIntegerField, models.PositiveBigIntegerField, models.PositiveSmallIntegerField),
)
TEXTS = (models.CharField, models.TextField, models.SlugField, models.EmailField, models.URLField)

COMMON = """
CREATE OR REPLACE FUNCTION {schema}.cachekit_text(value text, room integer) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made text := '';
    letter text;
BEGIN
    IF value COLLATE "C" !~ '^[ -~]*$' OR length(value) > room THEN
        RETURN NULL;
    END IF;
    FOREACH letter IN ARRAY regexp_split_to_array(rtrim(value, ' '), '') LOOP
        made := made || CASE WHEN letter COLLATE "C" ~ '^[A-Za-z0-9_.~-]?$' THEN lower(letter COLLATE "C")
                             ELSE '%' || upper(to_hex(ascii(letter))) END;
    END LOOP;
    RETURN CASE WHEN made = '' THEN '~empty' WHEN length(made) <= room THEN made END;
END
$$
"""
"""Percent-encode printable ASCII as `registry.canonical` does; NULL for what Python folds in ways that SQL does not."""

WRITTEN = """
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    told text;
    found bigint := {too_many};
BEGIN
    IF TG_OP <> 'TRUNCATE' THEN
        BEGIN
            IF TG_OP = 'INSERT' THEN
                {inserted}
            ELSIF TG_OP = 'DELETE' THEN
                {deleted}
            ELSE
                {updated}
            END IF;
        EXCEPTION WHEN OTHERS THEN
            found := {too_many};  -- a column has been renamed, perhaps: tell of everything, and let the writer write
        END;
        IF found = 0 THEN
            RETURN NULL;
        END IF;
    END IF;
    told := CASE WHEN found >= {too_many} THEN {whole} ELSE {family} || E'\\n' || told END;
    INSERT INTO {outbox} (tags, aliases, written_at, transaction)
    VALUES (told, '', clock_timestamp(), pg_current_xact_id()::text::bigint);
    IF current_setting('cachekit.listens', true) = 'on' THEN
        RAISE INFO 'cachekit % %', pg_current_xact_id(), told;
    END IF;
    RETURN NULL;
END
$function$
"""
TAGS = """
SELECT count(*) / {each}, string_agg({tags}, E'\\n') INTO found, told FROM ({rows}) AS r;
"""
"""What the old row and the new have in common is told twice: to tell it apart costs the writer 50 µs."""


class Unsupported(CachekitError, ValueError):
    """Triggers were asked for where there can be none."""


class Place(NamedTuple):
    """A database and the schema in which its outbox lives: tenants have one each."""

    connection: Any
    schema: str

    @classmethod
    def of(cls, using: str) -> Place:
        """Find the outbox. Raises Unsupported."""
        connection: Any = connections[using]
        if connection.vendor != "postgresql":
            raise Unsupported(f"Database '{using}' is not PostgreSQL: triggers need its transition tables.")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT quote_ident(nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
                " WHERE c.oid = to_regclass(%s)",
                [connection.ops.quote_name(Outbox._meta.db_table)],
            )
            found = cursor.fetchone()
        if found is None:
            raise Unsupported(f"Database '{using}' has no outbox: run manage.py migrate cachekit first.")
        return cls(connection, found[0])

    def quoted(self, name: str) -> str:
        """Return a name as SQL writes it."""
        return str(self.connection.ops.quote_name(name))

    def function(self, model: type[Model]) -> str:
        """Return the name of the function that a model's triggers call."""
        table = model._meta.db_table
        mark = blake2b(table.encode(), digest_size=4).hexdigest()
        return f"{self.schema}.{self.quoted(f'cachekit_{mark}_{table}'[:63])}"


class TriggerStatus(NamedTuple):
    """The triggers of one model in one database; `state` is installed, outdated, incomplete or absent."""

    model: str
    database: str
    state: str


def models_of(using: str, labels: Sequence[str] = ()) -> list[type[Model]]:
    """Return the models of these labels; without labels all those of a database. Raises Unsupported, LookupError."""
    Place.of(using)
    if labels:
        return [apps.get_model(label)._meta.concrete_model for label in labels]
    found = apps.get_models(include_auto_created=True)
    return [one for one in found if _wanted(one, using)]


def install(using: str, chosen: Iterable[type[Model]]) -> list[str]:
    """Make the triggers of these models, or make them anew; return their labels."""
    place, done = Place.of(using), []
    with transaction.atomic(using=using), place.connection.cursor() as cursor:
        for model in chosen:
            for statement in statements(place, model):
                cursor.execute(statement)
            done.append(model._meta.label)
    return done


def remove(using: str, chosen: Iterable[type[Model]]) -> list[str]:
    """Drop the triggers of these models; return the labels of those that had any."""
    place, present = Place.of(using), _present(using)
    found = [one for one in chosen if one._meta.db_table in present]
    with transaction.atomic(using=using), place.connection.cursor() as cursor:
        for model in found:
            for event in EVENTS:
                cursor.execute(f"DROP TRIGGER IF EXISTS cachekit_{event} ON {place.quoted(model._meta.db_table)}")
            cursor.execute(f"DROP FUNCTION IF EXISTS {place.function(model)}()")
    return [one._meta.label for one in found]


def status(using: str, chosen: Iterable[type[Model]]) -> list[TriggerStatus]:
    """Tell how the triggers of these models stand; outdated ones tell too much, but never too little."""
    place, present = Place.of(using), _present(using)
    return [TriggerStatus(one._meta.label, using, _state(place, one, present)) for one in chosen]


def refresh(using: str) -> list[str]:
    """Make outdated triggers anew: columns or declared indexes have changed."""
    if connections[using].vendor != "postgresql" or not (present := _present(using)):
        return []
    found = {one._meta.label: one for one in apps.get_models(include_auto_created=True) if not one._meta.proxy}
    held = [one for one in found.values() if one._meta.db_table in present]
    stale = [one.model for one in status(using, held) if one.state in ("outdated", "incomplete")]
    return install(using, [found[label] for label in stale]) if stale else []


def as_declared(model: type[Model]) -> type[Model]:
    """Return the model that declares the indexes of a table, for one that a migration knows it by."""
    try:
        real = apps.get_model(model._meta.label)
    except LookupError:
        return model
    return real if real._meta.db_table == model._meta.db_table else model


def statements(place: Place, model: type[Model], columns: Sequence[str] | None = None) -> Iterator[str]:
    """Yield the SQL that makes the triggers of a model; `columns` are those of its table where not all exist yet."""
    body, table, function = _written(place, model, columns), place.quoted(model._meta.db_table), place.function(model)
    yield COMMON.format(schema=place.schema)
    yield body
    yield f"COMMENT ON FUNCTION {function}() IS '{_stamp(body)}'"
    for event in EVENTS:
        yield f"DROP TRIGGER IF EXISTS cachekit_{event} ON {table}"
        yield (
            f"CREATE TRIGGER cachekit_{event} AFTER {event.upper()} ON {table} {TRANSITIONS[event]}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )


def _written(place: Place, model: type[Model], columns: Sequence[str] | None) -> str:
    family = registry.family_of(model, place.connection.alias)
    fields = [one for one in registry.indexes_of(model) if columns is None or one.column in columns]
    missing = len(fields) < len(registry.indexes_of(model)) or model is not as_declared(model)
    pk = model._meta.pk
    made = [_tag(place, family, "#", pk, f"{family}#")]
    made += [_tag(place, family, "?", field, f"{family}?{field.name}=") for field in fields]
    made += [_quoted(f"{family}?*")] if missing else []
    selected = ", ".join(place.quoted(str(field.column)) for field in (pk, *fields))
    too_many = MAX_ROWS + 1

    def telling(*tables: str) -> str:
        rows = " UNION ALL ".join(f"(SELECT {selected} FROM {one} LIMIT {too_many})" for one in tables)  # noqa: S608 - names out of models
        tags = " || E'\\n' || ".join(made)
        return TAGS.format(each=len(tables), rows=rows, tags=tags).strip()

    return WRITTEN.format(
        function=place.function(model),
        outbox=f"{place.schema}.{place.quoted(Outbox._meta.db_table)}",
        too_many=too_many,
        inserted=telling("new_rows"),
        deleted=telling("old_rows"),
        updated=telling("old_rows", "new_rows"),
        whole=_quoted("\n".join(registry.whole(family))),
        family=_quoted(family),
    ).strip()


def _tag(place: Place, family: str, kind: str, field: Field[Any, Any], start: str) -> str:
    """Return SQL that makes the tag which `registry` makes of a value, or of every row or slice where it cannot."""
    every = _quoted(f"{family}{kind}*")
    text = _text(place, field, MAX_LENGTH - len(start))
    return every if text is None else f"coalesce({_quoted(start)} || {text}, {every})"


def _text(place: Place, field: Field[Any, Any], room: int) -> str | None:
    """Return SQL for what `registry.canonical` makes of a column; None for types that SQL writes in other ways."""
    target: Any = field
    while isinstance(target, ForeignKey):
        target = target.target_field
    column = f"r.{place.quoted(str(field.column))}"
    if type(target) in TEXTS:
        plain = f"length({column}) <= {room} AND {column} COLLATE \"C\" ~ '^[A-Za-z0-9_.~-]+$'"
        other = f"{place.schema}.cachekit_text({column}::text, {room})"
        return (
            f"CASE WHEN {column} IS NULL THEN '~null' WHEN {plain} THEN lower({column} COLLATE \"C\") ELSE {other} END"
        )
    if type(target) in INTEGERS or type(target) is models.UUIDField:
        return f"coalesce({column}::text, '~null')"
    if type(target) is models.BooleanField:
        return f"coalesce({column}::int::text, '~null')"
    return None


def _state(place: Place, model: type[Model], present: Mapping[str, tuple[int, str | None]]) -> str:
    count, stamp = present.get(model._meta.db_table, (0, None))
    if not count:
        return "absent"
    if count < len(EVENTS):
        return "incomplete"
    return "installed" if stamp == _stamp(_written(place, model, None)) else "outdated"


def _present(using: str) -> dict[str, tuple[int, str | None]]:
    """Return the tables that have triggers: how many, and the stamp of what they do."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT relname, count(*), max(obj_description(tgfoid, 'pg_proc'))"
            " FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid"
            " WHERE tgname = ANY(%s) AND tgenabled <> 'D' AND pg_table_is_visible(c.oid) GROUP BY 1",
            [[f"cachekit_{event}" for event in EVENTS]],
        )
        return {table: (count, stamp) for table, count, stamp in cursor.fetchall()}


def _wanted(model: type[Model], using: str) -> bool:
    options = model._meta
    if options.proxy or not options.managed or options.app_label in SKIPPED_APPS:
        return False
    return bool(router.allow_migrate_model(using, model))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _stamp(body: str) -> str:
    return "cachekit " + blake2b(body.encode(), digest_size=8).hexdigest()
