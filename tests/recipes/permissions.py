"""The recipe for permissions, as docs/how-to/sessions-and-tokens.md shows it."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend

from cachekit import cached


@cached(600)
def permissions_of(pk: Any) -> set[str]:
    """Return the permissions that a user has, also by groups."""
    return ModelBackend().get_all_permissions(get_user_model().objects.get(pk=pk))


class CachedPermissionsBackend(ModelBackend):
    """Asks the cache what a user may do: once a request, as Django's own does the database."""

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return the permissions of a user."""
        if obj is not None or user_obj.is_anonymous or not user_obj.is_active:
            return set()
        if not hasattr(user_obj, "_perm_cache"):
            user_obj._perm_cache = permissions_of(user_obj.pk)
        found: set[str] = user_obj._perm_cache
        return found

    async def aget_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Like `get_all_permissions`."""
        return await sync_to_async(self.get_all_permissions)(user_obj, obj)
