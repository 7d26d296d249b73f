"""The recipe for sessions with rules of their own, as docs/how-to/sessions-and-tokens.md shows it."""

from __future__ import annotations

from typing import ClassVar

from cachekit.contrib import sessions
from cachekit.specs import Options


class SessionStore(sessions.SessionStore):
    cachekit_options: ClassVar[Options] = {"timeout": 86_400, "alias": "sessions"}
