"""Make sure, before a cache that was away is read again, that no database's outbox holds what it has missed."""

from __future__ import annotations

import logging

from django.db import DatabaseError, connections

from cachekit import outbox
from cachekit.core.capture import capturing
from cachekit.databases import written_to
from cachekit.models import Outbox
from cachekit.orm.ongoing import commits_by_itself
from cachekit.orm.snapshots import sees_the_latest
from cachekit.outbox import changes

logger = logging.getLogger("cachekit.outbox")


def drained(alias: str) -> bool:
    """Relay what the outboxes hold for a cache; tell whether nothing is left. A database away is passed over."""
    return all(_is_drained(using, alias) for using in written_to())


def _is_drained(using: str, alias: str) -> bool:
    connection = connections[using]
    try:
        if not commits_by_itself(connection) and not sees_the_latest(connection):
            return False  # what was written since its snapshot cannot be seen
        with capturing(None):
            missed = _missed(using, alias) if outbox.has_table(connection) else set()
            if not missed:
                return True
            if not commits_by_itself(connection):
                return False  # to relay is not for a transaction of somebody else's
            outbox.relay(using)
            return not _left(missed, _missed(using, alias))
    except DatabaseError as error:
        logger.warning("The outbox of database '%s' cannot be read: %s", using, error)
    except (AssertionError, RuntimeError) as error:  # what test runners raise where a test may not use a database
        logger.debug("The outbox of database '%s' must not be read: %s", using, error)
    return True


def _missed(using: str, alias: str) -> set[int | str]:
    """Return the rows that this cache has not got; their ids say nothing of when they were written.

    Changes that triggers wrote down are known by their places.
    """
    rows = Outbox.objects.using(using).values_list("pk", "aliases")
    return {int(number) for number, aliases in rows if not aliases or alias in aliases.split()} | changes.places(using)


def _left(before: set[int | str], after: set[int | str]) -> set[int | str]:
    """Return what was not told; what came meanwhile its writer tells, for the server answers.

    A change that could not be told has become a row, which cannot be told from one that came meanwhile.
    """
    rows = {one for one in after if isinstance(one, int)}
    return (before & after) | (rows if any(isinstance(one, str) for one in before) else set())
