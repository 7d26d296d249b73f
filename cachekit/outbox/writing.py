"""Keep invalidations in the database where the cache server cannot be told."""

from __future__ import annotations

import logging
from collections.abc import Collection

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from cachekit.conf import conf
from cachekit.models import Outbox

logger = logging.getLogger("cachekit.outbox")

_migrated: set[str] = set()


def has_table(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether cachekit is migrated in this database."""
    if connection.alias not in _migrated and Outbox._meta.db_table in connection.introspection.table_names():
        _migrated.add(connection.alias)
    return connection.alias in _migrated


def write(connection: BaseDatabaseWrapper, tags: Collection[str], aliases: Collection[str]) -> bool:
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
    row = Outbox(tags="\n".join(tags), aliases="\n".join(aliases))
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


def record(tags: Collection[str], aliases: Collection[str] = ()) -> None:
    """Write what somebody invalidates by hand into the outbox, where every invalidation passes through it."""
    if conf().OUTBOX != "always":
        return
    try:
        with transaction.atomic(using=DEFAULT_DB_ALIAS):
            write(connections[DEFAULT_DB_ALIAS], tags, aliases)
    except DatabaseError:
        logger.exception("An invalidation could not be written into the outbox: a cache that is restored may miss it")
