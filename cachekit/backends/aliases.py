"""Find under which aliases of CACHES a cache was made; Django does not tell it."""

from __future__ import annotations

from typing import Any

from django.conf import settings


def aliases_of(location: Any, params: dict[str, Any]) -> list[str]:
    """Return the aliases of CACHES with this LOCATION and these parameters; none for a cache that was made by hand."""
    return [
        str(alias)
        for alias, entry in settings.CACHES.items()
        if entry.get("LOCATION", "") == location
        and {name: value for name, value in entry.items() if name not in ("BACKEND", "LOCATION")} == params
    ]


def alias_of(location: Any, params: dict[str, Any]) -> str:
    """Return the first alias with this LOCATION and these parameters; empty where there is none."""
    return next(iter(aliases_of(location, params)), "")
