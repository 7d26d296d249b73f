"""Keep invalidations in the database where the cache server cannot be told, and relay them when it can."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Collection, Iterable
from typing import NamedTuple

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, Min
from django.utils import timezone

from cachekit.exceptions import StoreUnavailable
from cachekit.invalidation import relayed
from cachekit.models import Outbox
from cachekit.stores import aliases as known_aliases, store_for
from cachekit.stores.settled import settled

PAGE = 500
AT_ONCE = 1000
"""So many tags at most are told in one round trip: a server does nothing else meanwhile."""

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


class Waiting(NamedTuple):
    """What stands in a database's outbox: how many rows, and since when the oldest."""

    rows: int
    since: datetime.datetime | None = None

    @property
    def seconds(self) -> float:
        """Return the age of the oldest row."""
        return (timezone.now() - self.since).total_seconds() if self.since else 0.0


def waiting(using: str) -> Waiting:
    """Return what stands in a database's outbox."""
    if not has_table(connections[using]):
        return Waiting(0)
    found = Outbox.objects.using(using).aggregate(rows=Count("pk"), since=Min("written_at"))
    return Waiting(found["rows"], found["since"])


def name_of(using: str, number: int) -> str:
    """Return the name by which a database's transaction is noted as settled."""
    return f"{using}:{number}"


def relay(using: str) -> int:
    """Deliver what stands in a database's outbox; return how many rows are done. Several may run at once.

    Rows are locked, told and deleted in one transaction: a relay that dies leaves them to the next.
    """
    connection = connections[using]
    if not has_table(connection):
        return 0
    count, last, away = 0, 0, set[str]()
    rows = Outbox.objects.using(using).order_by("pk")
    if connection.features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(skip_locked=True)
    while Outbox.objects.using(using).filter(pk__gt=last).exclude(aliases__in=away).exists():
        with transaction.atomic(using=using):
            page = list(rows.filter(pk__gt=last).exclude(aliases__in=away)[:PAGE])
            if not page:
                break  # another relay has them
            count += _relay_page(using, page, away)
        last = page[-1].pk
    return count


def _relay_page(using: str, page: list[Outbox], away: set[str]) -> int:
    """Tell every cache what these rows hold; those that a cache has not got stay, for that cache alone."""
    missing: dict[int, list[str]] = {row.pk: [] for row in page}
    for alias in known_aliases():
        wanted = [row for row in page if alias in (row.aliases.split() or [alias])]
        for row in _untold(using, alias, wanted):
            missing[row.pk].append(alias)
    done = [pk for pk, left in missing.items() if not left]
    Outbox.objects.using(using).filter(pk__in=done).delete()
    for row in page:
        left = "\n".join(missing[row.pk])
        if left and left != row.aliases:
            Outbox.objects.using(using).filter(pk=row.pk).update(aliases=left)
    away.update("\n".join(left) for left in missing.values() if left)
    return len(done)


def _untold(using: str, alias: str, rows: Collection[Outbox]) -> Iterable[Outbox]:
    """Tell a cache what rows hold, but for what their writers told it themselves; return the rows that wait on."""
    names = {row.pk: name_of(using, row.transaction) for row in rows if row.transaction is not None}
    try:
        known = settled(store_for(alias), set(names.values()))
    except StoreUnavailable:
        return rows
    tags = list(dict.fromkeys(tag for row in rows if names.get(row.pk) not in known for tag in row.tags.split("\n")))
    parts = [tags[at : at + AT_ONCE] for at in range(0, len(tags), AT_ONCE)]
    return () if all(relayed(part, [alias]) for part in parts) else rows
