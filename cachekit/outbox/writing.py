"""Keep invalidations in the database where the cache server cannot be told."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from cachekit.conf import conf
from cachekit.models import Outbox

logger = logging.getLogger("cachekit.outbox")

_migrated: set[tuple[str, str]] = set()


def has_table(connection: BaseDatabaseWrapper, name: str = Outbox._meta.db_table) -> bool:
    """Tell whether cachekit is migrated in this database, as far as this table."""
    place = (connection.alias, name)
    if place not in _migrated and name in connection.introspection.table_names():
        _migrated.add(place)
    return place in _migrated


def name_of(using: str, number: int) -> str:
    """Return the name by which a database's transaction is noted as settled."""
    return f"{using}:{number}"


def write(
    connection: BaseDatabaseWrapper, tags: Collection[str], aliases: Collection[str], number: int | None = None
) -> bool:
    """Write tags into the outbox, in the transaction that is open; return whether they stand there."""
    if not has_table(connection):
        logger.error(
            "Database '%s' has no table %s, so other processes may serve stale data until caches expire: "
            "run manage.py migrate --database %s",
            connection.alias,
            Outbox._meta.db_table,
            connection.alias,
        )
        return False
    row = Outbox(tags="\n".join(tags), aliases="\n".join(aliases), transaction=number)
    row.save_base(raw=True, force_insert=True, using=connection.alias)
    return True


def write_alone(using: str, tags: Collection[str], aliases: Collection[str]) -> bool:
    """Like `write`, in a transaction of its own: the change is committed already."""
    try:
        with transaction.atomic(using=using):
            return write(connections[using], tags, aliases)
    except DatabaseError:
        logger.exception("Invalidations could not be written into the outbox of database '%s'", using)
        return False


def record(tags: Collection[str], aliases: Collection[str] = ()) -> str:
    """Write what somebody invalidates by hand into the outbox, where every invalidation passes through it.

    Return the name to note where it is told at once, so that the relay need not tell it again; nothing inside a
    transaction, which may end after that.
    """
    if conf().OUTBOX != "always":
        return ""
    connection, number = connections[DEFAULT_DB_ALIAS], -1 - secrets.randbelow(2**62)  # PostgreSQL's are positive
    alone = not connection.in_atomic_block and connection.get_autocommit()
    try:
        with transaction.atomic(using=DEFAULT_DB_ALIAS):
            written = write(connection, tags, aliases, number if alone else None)
    except DatabaseError:
        logger.exception("An invalidation could not be written into the outbox: a cache that is restored may miss it")
        return ""
    return name_of(DEFAULT_DB_ALIAS, number) if alone and written else ""
