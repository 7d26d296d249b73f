"""Stamps on COMMITs and a count of statements, taken below every library: on Django's database wrapper itself."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql.base import DatabaseWrapper

from tests.consistency.checker.world import now


class Clock:
    """What the database of this process was asked last."""

    def __init__(self) -> None:
        self.statements = 0
        self.sent = 0
        self.returned = 0

    def install(self) -> None:
        """Watch every connection of this process; a library's own wrappers come above."""
        wrapped: Any = DatabaseWrapper
        plain_commit, plain_cursor = wrapped._commit, wrapped.create_cursor
        clock = self

        def commit(wrapper: Any) -> Any:
            clock.sent, clock.returned = now(), 0
            done = plain_commit(wrapper)
            clock.returned = now()
            return done

        def create_cursor(wrapper: Any, name: Any = None) -> Any:
            clock.statements += 1
            return plain_cursor(wrapper, name)

        wrapped._commit, wrapped.create_cursor = commit, create_cursor


clock = Clock()
