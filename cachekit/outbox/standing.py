"""How far a database's outbox has been relayed, and whether the caches remember as much."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple
from uuid import uuid4

from django.db import DatabaseError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Max
from django.db.models.functions import Greatest
from django.utils import timezone

from cachekit.conf import conf
from cachekit.models import RelayState, Told
from cachekit.outbox.writing import has_table
from cachekit.stores.marks import Mark

FROZEN = "10s"
"""A relay that stands still in the middle of a page (a paused machine) loses its turn after so long, on PostgreSQL."""
CLUSTER = (
    "SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE"
    " (SELECT system_identifier::text FROM pg_control_system()) || '/'"
    " || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END"
)
"""Which cluster and timeline this is: any role may ask, though a provider may have taken the right away."""

_reticent: set[str] = set()
"""PostgreSQL databases that do not tell their cluster and timeline."""


class Standing(NamedTuple):
    """What a database says of its relaying; `caches` are the rounds that each was told of last."""

    using: str
    database: str
    """Which database this is: another one, or another timeline of it, has another name."""
    rounds: int
    caches: dict[str, int]
    pruned: int = 0
    """The last round of which nothing is kept to be told again."""


def of(using: str) -> Standing | None:
    """Return how a database's outbox stands; None where it has none, or is a replica, which cannot be written to."""
    connection = connections[using]
    if not has_table(connection):
        return None
    cluster = _cluster(connection)
    if cluster is None:
        return None
    state = RelayState.objects.using(using).first() or _made(using)
    return Standing(using, f"{state.identity}{cluster}", state.rounds, dict(state.caches), state.pruned)


@contextmanager
def counted(found: Standing) -> Iterator[Standing | None]:
    """Begin the next round of a database, and keep what was told in it; None while another relay is at it.

    Inside a transaction, which keeps the turn until its end.
    """
    connection = connections[found.using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{FROZEN}'")
    features, states = connection.features, RelayState.objects.using(found.using)
    locked = states.select_for_update(skip_locked=features.has_select_for_update_skip_locked)
    state = (locked if features.has_select_for_update else states).first()
    if state is None:
        yield None
        return
    turn = found._replace(rounds=state.rounds + 1, caches=dict(state.caches))
    yield turn
    changes: dict[str, Any] = {"rounds": Greatest(F("rounds"), turn.rounds), "caches": turn.caches}
    if not keeps():
        changes["pruned"] = turn.rounds
    states.filter(pk=state.pk).update(**changes)
    found.caches.update(turn.caches)  # what is attested from now on


def pass_over(found: Standing, rounds: int) -> None:
    """Use no number up to this one: a relay died after it had marked it and before it could commit it."""
    with transaction.atomic(using=found.using), counted(found) as turn:
        if turn is not None:
            RelayState.objects.using(found.using).filter(rounds__lt=rounds).update(rounds=rounds)


def prune(using: str) -> None:
    """Remove what has been kept for long enough, in the transaction of a round."""
    limit = timezone.now() - datetime.timedelta(seconds=conf().OUTBOX_RETENTION)
    rows = Told.objects.using(using)
    last = rows.filter(told_at__lt=limit).aggregate(last=Max("round"))["last"]
    if last is not None:
        rows.filter(round__lte=last).delete()
        RelayState.objects.using(using).update(pruned=last)


def keeps() -> bool:
    """Tell whether every invalidation passes through the outbox, and is kept to be told again."""
    return conf().OUTBOX == "always"


OTHER = "this is another database, or another timeline, than the one that was relayed as"
RESTORED = "an older state has been restored of database"
FORGOTTEN = "its server has lost what it was told of database"


def fault(held: Mark | None, standing: Standing, alias: str) -> str:
    """Tell what is wrong between what a cache remembers of a database and what the database does; or nothing.

    A round is told, marked, and then committed: a mark may be one round ahead, but what is known to be committed not.
    """
    told = standing.caches.get(alias)
    if held is None:
        return FORGOTTEN if told is not None else ""
    if held.database != standing.database:
        return OTHER
    if held.done > standing.rounds:
        return RESTORED
    return FORGOTTEN if told is not None and held.told < told else ""


def _cluster(connection: BaseDatabaseWrapper) -> str | None:
    """Return what tells a server's data from another's; None for a replica."""
    if connection.vendor == "mysql":
        return None if _asked(connection, "SELECT @@global.read_only") else ""
    if connection.vendor != "postgresql":
        return ""
    if connection.alias not in _reticent:
        try:
            with transaction.atomic(using=connection.alias) if connection.in_atomic_block else nullcontext():
                return f"/{found}" if (found := _asked(connection, CLUSTER)) else None
        except OperationalError:
            raise
        except DatabaseError:
            _reticent.add(connection.alias)
    return None if _asked(connection, "SELECT pg_is_in_recovery()") else ""


def _asked(connection: BaseDatabaseWrapper, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def _made(using: str) -> RelayState:
    state, _ = RelayState.objects.using(using).get_or_create(pk=1, defaults={"identity": uuid4().hex})
    return state
