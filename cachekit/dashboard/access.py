"""Who may open a page, and what is written down of what they did there."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _, ngettext

from cachekit.models import Cache
from cachekit.purging import Purged, Target

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

VIEW = "cachekit.view_cache"
PURGE = "cachekit.purge_cache"

View = Callable[..., HttpResponseBase]


def needs(permission: str) -> Callable[[View], View]:
    """Let a view be opened only with this permission; say which one is missing."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(admin: ModelAdmin[Any], request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.has_perm(permission):
                raise PermissionDenied(_("This page needs the permission “%(name)s”.") % {"name": permission})
            return view(admin, request, *args, **kwargs)

        return checked

    return decorate


def record(request: HttpRequest, target: Target, purged: Purged) -> None:
    """Write a purge into the admin's log: who, what, where, how many."""
    LogEntry.objects.create(
        user_id=cast("int", request.user.pk),
        content_type=ContentType.objects.get_for_model(Cache, for_concrete_model=False),
        object_id=target.alias,
        object_repr=f"{target.by} {target.text}"[:200],
        action_flag=DELETION,
        change_message=said(target, purged),
    )


def said(target: Target, purged: Purged) -> str:
    """Say what a purge did; the log and the result page say the same."""
    removed = purged.removed
    if removed is None:
        done = _("Invalidated by %(by)s “%(what)s” in cache “%(alias)s”.")
    else:
        done = ngettext(
            "Removed %(n)d key by %(by)s “%(what)s” from cache “%(alias)s”.",
            "Removed %(n)d keys by %(by)s “%(what)s” from cache “%(alias)s”.",
            removed,
        )
    text = done % {"n": removed, "by": target.by, "what": target.text, "alias": target.alias}
    return text if purged.complete else f"{text} {unfinished(purged)}"


def unfinished(purged: Purged) -> str:
    """Say what an incomplete purge left."""
    if purged.removed is None:
        return _("The store is away: it will be told when it answers again.")
    return _("Not finished: purge again to go on.")


def recent(limit: int = 10) -> list[LogEntry]:
    """Return the latest purges, newest first."""
    kind = ContentType.objects.get_for_model(Cache, for_concrete_model=False)
    return list(LogEntry.objects.filter(content_type=kind).select_related("user")[:limit])
