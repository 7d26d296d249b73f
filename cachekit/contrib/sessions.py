"""Sessions in the database, read through cachekit: `SESSION_ENGINE = "cachekit.contrib.sessions"`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from django.contrib.sessions.backends.db import SessionStore as DBStore
from django.utils import timezone

from cachekit import engine
from cachekit.core import keys
from cachekit.core.policy import Spec
from cachekit.specs import Door, Options


class Row(NamedTuple):
    """What is kept of a session."""

    session_data: str
    expire_date: datetime


class SessionStore(DBStore):
    """Django's sessions in the database; what was read of one is kept until its row is written to.

    Unlike `cached_db` nothing is stored but what was read, and nothing is served that was read before the last write:
    a session that has ended cannot come back. Where the cache is lost or away sessions are read from the database.
    A subclass may keep rows by other rules; call it `SessionStore` too, for Django signs sessions with that name.
    """

    cachekit_options: ClassVar[Options] = {"timeout": 3600}
    """How rows are kept; seconds. Not `near`, where logging out must hold at once in every process."""

    def _get_session_from_db(self) -> Any:
        """Return the session's row if it stands and has not expired."""
        return self._standing(engine.get_or_set(self._spec(), self._read))

    async def _aget_session_from_db(self) -> Any:
        """Like `_get_session_from_db`."""
        return self._standing(await engine.aget_or_set(self._spec(), self._aread))

    def _spec(self) -> Spec:
        return _door(type(self)).spec(keys.fingerprint(self.session_key))

    def _read(self) -> Row | None:
        found = self._rows().first()
        return found and Row(*found)

    async def _aread(self) -> Row | None:
        found = await self._rows().afirst()
        return found and Row(*found)

    def _rows(self) -> Any:
        rows = self.model.objects.filter(session_key=self.session_key).order_by()
        return rows.values_list("session_data", "expire_date")

    def _standing(self, row: Row | None) -> Row | None:
        if row is not None and row.expire_date > timezone.now():
            return row
        self._session_key = None
        return None


_doors: dict[type[SessionStore], Door] = {}


def _door(kind: type[SessionStore]) -> Door:
    if kind not in _doors:
        model = kind.get_model_class()
        _doors[kind] = Door("session", model._meta.label_lower, kind.cachekit_options)
    return _doors[kind]
