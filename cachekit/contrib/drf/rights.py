"""What a user may do, looked up through the cache, so that a hit for their permissions costs no query."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Model

from cachekit.contrib.drf.freezing import opened
from cachekit.contrib.drf.watching import forget_rights
from cachekit.exceptions import InvalidKey
from cachekit.functions import cached

KNOWN = frozenset({f"django.contrib.auth.backends.{name}" for name in ("ModelBackend", "RemoteUserBackend")})
"""Backends that look permissions up in the database and nowhere else, so that each change is heard of."""


def rights_of(user: Any) -> Any:
    """Return all that permissions, groups aside, may depend on. Raises InvalidKey for users who have none."""
    user = opened(user)
    flags = tuple(bool(getattr(user, name, False)) for name in ("is_authenticated", "is_active", "is_staff"))
    if not flags[0]:
        return flags
    if getattr(user, "is_superuser", False):
        return (*flags, "all")
    if not hasattr(user, "get_all_permissions"):
        raise InvalidKey(f"A {type(user).__name__} has no get_all_permissions().")
    known = isinstance(user, Model) and KNOWN.issuperset(settings.AUTHENTICATION_BACKENDS)
    return (*flags, permissions(user, *flags) if known else sorted(user.get_all_permissions()))


@cached(key=lambda user, *flags: (user, flags), name="cachekit.contrib.drf.permissions")
def permissions(user: Any, *flags: bool) -> list[str]:
    """Return what a user may do by themselves and by their groups, as the database says now."""
    forget_rights(user)
    return sorted(user.get_all_permissions())
