"""Triggers in PostgreSQL that write what any client changes down for the relay: psql, COPY, TRUNCATE, cascades."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connections, router, transaction
from django.db.models import Model

from cachekit import registry
from cachekit.exceptions import CachekitError
from cachekit.models import CHANGES
from cachekit.triggersql import TRANSITIONS, told_of

EVENTS = tuple(TRANSITIONS)
SKIPPED_APPS = ("cachekit", "sessions")
"""What `install` leaves out unless it is named: nobody caches sessions, and every request may write one."""


class Unsupported(CachekitError, ValueError):
    """Triggers were asked for where there can be none."""


class Place(NamedTuple):
    """A database and the schema in which its changes are written down: tenants have one each."""

    connection: Any
    schema: str

    @classmethod
    def of(cls, using: str) -> Place:
        """Find the table. Raises Unsupported."""
        connection: Any = connections[using]
        if connection.vendor != "postgresql":
            raise Unsupported(f"Database '{using}' is not PostgreSQL: triggers need its transition tables.")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT quote_ident(nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
                " WHERE c.oid = to_regclass(%s)",
                [connection.ops.quote_name(CHANGES)],
            )
            found = cursor.fetchone()
        if found is None:
            raise Unsupported(f"Database '{using}' has no table {CHANGES}: run manage.py migrate cachekit first.")
        return cls(connection, found[0])

    def quoted(self, name: str) -> str:
        """Return a name as SQL writes it."""
        return str(self.connection.ops.quote_name(name))

    def function(self, model: type[Model], event: str) -> str:
        """Return the name of the function that a model's trigger for an event calls."""
        table = model._meta.db_table
        mark = blake2b(table.encode(), digest_size=4).hexdigest()
        return f"{self.schema}.{self.quoted(f'cachekit_{event}_{mark}_{table}'[:63])}"


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
                cursor.execute(f"DROP FUNCTION IF EXISTS {place.function(model, event)}()")
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
    bodies, table = _bodies(place, model, columns), place.quoted(model._meta.db_table)
    stamp = _stamp(bodies)
    for event, body in bodies.items():
        function, transitions = place.function(model, event), TRANSITIONS[event]
        named = " ".join(f"{one[:3].upper()} TABLE AS {one}" for one in transitions)
        yield body
        yield f"COMMENT ON FUNCTION {function}() IS '{stamp}'"
        yield f"DROP TRIGGER IF EXISTS cachekit_{event} ON {table}"
        yield (
            f"CREATE TRIGGER cachekit_{event} AFTER {event.upper()} ON {table}"
            f" {'REFERENCING ' if named else ''}{named} FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )


def _bodies(place: Place, model: type[Model], columns: Sequence[str] | None) -> dict[str, str]:
    """Return the SQL of a model's functions by event."""
    family = registry.family_of(model, place.connection.alias)
    changes = f"{place.schema}.{place.quoted(CHANGES)}"
    told = told_of(model, family, changes, place.quoted, columns)
    if model is not as_declared(model):
        told = told._replace(has_more=True)
    return {event: told.body(place.function(model, event), event) for event in EVENTS}


def _state(place: Place, model: type[Model], present: Mapping[str, tuple[int, str | None]]) -> str:
    count, stamp = present.get(model._meta.db_table, (0, None))
    if not count:
        return "absent"
    if count < len(EVENTS):
        return "incomplete"
    return "installed" if stamp == _stamp(_bodies(place, model, None)) else "outdated"


def _present(using: str) -> dict[str, tuple[int, str | None]]:
    """Return the tables that have triggers: how many, and the stamp of what they do."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT relname, count(*), string_agg(DISTINCT coalesce(obj_description(tgfoid, 'pg_proc'), ''), ' ')"
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


def _stamp(bodies: Mapping[str, str]) -> str:
    return "cachekit " + blake2b("".join(bodies.values()).encode(), digest_size=8).hexdigest()
