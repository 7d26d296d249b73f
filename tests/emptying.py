"""Empty only the tables that whole requests write to: a tenth of the time that Django takes for all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

USED = ("sessions.Session", "zoo.Book", "zoo.Author", "zoo.Tag", "auth.User", "auth.Group")


@contextmanager
def emptied(blocker: Any) -> Iterator[None]:
    """Let a test write, in transactions that commit, to a few tables that are emptied afterwards."""
    from django.apps import apps

    with blocker.unblock():
        try:
            yield
        finally:
            for name in USED:
                apps.get_model(name)._default_manager.all().delete()
