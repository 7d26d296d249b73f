"""What stands in a database's outbox."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from django.db import connections
from django.db.models import Count, Min
from django.utils import timezone

from cachekit.models import Outbox
from cachekit.outbox import changes
from cachekit.outbox.writing import has_table


class Waiting(NamedTuple):
    """How many rows stand in a database's outbox, and since when the oldest."""

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
    rows, since = changes.counted(using)
    oldest = min((one for one in (found["since"], since) if one is not None), default=None)
    return Waiting(found["rows"] + rows, oldest)
