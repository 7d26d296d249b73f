"""The dashboard's place in the admin: a menu entry, two permissions, and the addresses of its pages."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path

from cachekit.dashboard import views
from cachekit.dashboard.access import PURGE, VIEW, View
from cachekit.models import Cache

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Cache]
else:
    Base = admin.ModelAdmin


@admin.register(Cache)
class CacheAdmin(Base):
    """No rows to add, change or delete: its list is the overview."""

    def get_urls(self) -> list[URLPattern]:
        """Return the pages, each under the name `cachekit_cache_…`."""
        pages: list[tuple[str, View, str]] = [
            ("", views.overview, "changelist"),
            ("purge/", views.purge, "purge"),
            ("purge/confirm/", views.confirm, "purge_confirm"),
            ("<str:alias>/keys/", views.keys, "keys"),
            ("<str:alias>/keys/<str:token>/", views.key, "key"),
        ]
        return [
            path(route, self.admin_site.admin_view(partial(view, self)), name=f"cachekit_cache_{name}")
            for route, view, name in pages
        ]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the permission that the model declares."""
        return request.user.has_perm(VIEW)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the menu entry to those who may look or purge."""
        return request.user.has_perm(VIEW) or request.user.has_perm(PURGE)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nothing can be added."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing can be changed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing can be deleted here; purging has a page and a permission of its own."""
        return False
