"""Keep invalidations in the database where the cache server cannot be told, and relay them when it can."""

from __future__ import annotations

import logging
from collections.abc import Collection

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from cachekit.invalidation import relayed
from cachekit.models import Outbox
from cachekit.stores import aliases as known_aliases

PAGE = 500

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


def relay_all() -> int:
    """Deliver what stands in the outbox of every database that answers; return how many rows are done."""
    count = 0
    for using in connections:
        try:
            count += relay(using)
        except DatabaseError as error:
            logger.warning("The outbox of database '%s' cannot be read: %s", using, error)
            connections[using].close()
    return count


def waiting(using: str) -> int:
    """Return how many rows stand in a database's outbox."""
    return Outbox.objects.using(using).count() if has_table(connections[using]) else 0


def relay(using: str) -> int:
    """Deliver what stands in a database's outbox; return how many rows are done. Several may run at once."""
    if not has_table(connections[using]):
        return 0
    rows = list(Outbox.objects.using(using).order_by("pk")[:PAGE])
    done = [row.pk for row in rows if _relayed(row)]
    if done:
        Outbox.objects.using(using).filter(pk__in=done).delete()
    return len(done)


def _relayed(row: Outbox) -> bool:
    wanted = set(row.aliases.split()) or set(known_aliases())
    return relayed(row.tags.split("\n"), [one for one in known_aliases() if one in wanted])
