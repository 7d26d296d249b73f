"""Find under which alias of CACHES a cache was made; Django does not tell it."""

from __future__ import annotations

from typing import Any

from django.conf import settings


def alias_of(location: Any, params: dict[str, Any]) -> str:
    """Return the alias of CACHES with this LOCATION and these parameters; empty where there is none."""
    for alias, entry in settings.CACHES.items():
        rest = {name: value for name, value in entry.items() if name not in ("BACKEND", "LOCATION")}
        if rest == params and entry.get("LOCATION", "") == location:
            return str(alias)
    return ""
