"""Find under which aliases of CACHES a cache was made; Django does not tell it."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from cachekit import stores


def aliases_of(location: Any, params: dict[str, Any]) -> list[str]:
    """Return the aliases of CACHES with this LOCATION and these parameters; none for a cache that was made by hand."""
    found = []
    for alias in stores.aliases():  # one of django-redis may say the same of the same server
        given = {name: value for name, value in settings.CACHES[alias].items() if name != "BACKEND"}
        if given.pop("LOCATION", "") == location and given == params:
            found.append(alias)
    return found


def alias_of(location: Any, params: dict[str, Any]) -> str:
    """Return the first alias with this LOCATION and these parameters; empty where there is none."""
    return next(iter(aliases_of(location, params)), "")
