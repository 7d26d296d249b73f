"""How far a database's outbox has been relayed, and whether the caches remember as much."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple
from uuid import uuid4

from django.db import DatabaseError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from cachekit.core.tags import EVERYTHING
from cachekit.exceptions import StoreUnavailable
from cachekit.invalidation import relayed
from cachekit.models import RelayState
from cachekit.outbox.writing import has_table
from cachekit.stores import aliases as known_aliases, store_for
from cachekit.stores.marks import Mark, confirm, held_by, reset
from cachekit.stores.turns import server_of

FROZEN = "10s"
"""A relay that stands still in the middle of a page (a paused machine) loses its turn after so long, on PostgreSQL."""
CLUSTER = (
    "SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE"
    " (SELECT system_identifier::text FROM pg_control_system()) || '/'"
    " || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END"
)
"""Which cluster and timeline this is: any role may ask, though a provider may have taken the right away."""

logger = logging.getLogger("cachekit.relay")

_reticent: set[str] = set()
"""PostgreSQL databases that do not tell their cluster and timeline."""


class Standing(NamedTuple):
    """What a database says of its relaying; `caches` are the rounds that each was told of last."""

    using: str
    database: str
    """Which database this is: another one, or another timeline of it, has another name."""
    rounds: int
    caches: dict[str, int]


def of(using: str) -> Standing | None:
    """Return how a database's outbox stands; None where it has none, or is a replica, which cannot be written to."""
    connection = connections[using]
    if not has_table(connection):
        return None
    cluster = _cluster(connection)
    if cluster is None:
        return None
    state = RelayState.objects.using(using).first() or _made(using)
    return Standing(using, f"{state.identity}{cluster}", state.rounds, dict(state.caches))


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
    states.filter(pk=state.pk).update(rounds=turn.rounds, caches=turn.caches)
    found.caches.update(turn.caches)  # what is attested from now on


def repaired(standing: Standing) -> frozenset[str]:
    """Have every cache forget everything that does not remember what it was told; return those that are away."""
    away = []
    for alias in known_aliases():
        try:
            _repair(alias, standing)
        except StoreUnavailable:
            away.append(alias)
    return frozenset(away)


def _repair(alias: str, standing: Standing) -> None:
    store = store_for(alias)
    if server_of(store) is None:
        return
    held = held_by(store, standing.using)
    reason = fault(held, standing, alias)
    if reason == RESTORED:  # or another relay has gone on since `standing` was read
        standing = of(standing.using) or standing
        reason = fault(held, standing, alias)
    if reason:
        logger.warning("Everything in cache '%s' becomes stale: %s '%s'", alias, reason, standing.using)
        if not relayed((EVERYTHING,), [alias]):
            raise StoreUnavailable(f"The cache server of alias '{alias}' is away")
        reset(store, standing.using, Mark(standing.database, standing.rounds, standing.rounds))
    elif held is not None and held.done < held.told <= standing.rounds:
        confirm(store, standing.using, held.told)


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
