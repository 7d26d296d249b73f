"""Who asks: the request behind a GraphQL context, and the user behind the request."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.db.models import Model
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject, empty

from cachekit import sharing
from cachekit.core.capture import current

KEPT_PERMISSIONS = ("_perm_cache", "_user_perm_cache", "_group_perm_cache")


def request_of(context: Any) -> HttpRequest | None:
    """Return the request: the context itself, or its `request`; None where there is none."""
    if isinstance(context, HttpRequest):
        return context
    found = context.get("request") if isinstance(context, Mapping) else getattr(context, "request", None)
    return found if isinstance(found, HttpRequest) else None


def is_loaded(request: Any) -> bool:
    """Tell whether nobody need be asked any more who the user is."""
    user = getattr(request, "user", None)
    return not isinstance(user, SimpleLazyObject) or user.__dict__.get("_wrapped") is not empty


def load(request: Any) -> None:
    """Have the user looked up, so that no resolver does it while its reads are captured."""
    bool(getattr(getattr(request, "user", None), "is_authenticated", False))
    user = request.__dict__.get("_cached_user")
    if user is not None:  # what `request.auser()` would look up once more
        request.__dict__.setdefault("_acached_user", user)


async def aload(request: Any) -> None:
    """Like `load`."""
    if not is_loaded(request):
        await sync_to_async(load)(request)


def identity(request: Any) -> Any:
    """Return what tells this visitor from others: nothing for all who are not signed in.

    Raises PermissionError for one who shows credentials that nobody has made a user of yet.
    """
    user = getattr(request, "user", None)
    signed_in = user is not None and bool(user.is_authenticated)
    if not signed_in and "HTTP_AUTHORIZATION" in request.META:
        raise PermissionError("authorization")
    sharing.visitor_obstacle(request, ("user",), user if signed_in else None)
    return sharing.vary_value(request, "user")


def user_of(request: Any) -> Model | None:
    """Return the row of whoever is signed in, looked up before; None for all others, and for users without a row."""
    user = getattr(request, "user", None)
    user = user.__dict__.get("_wrapped") if isinstance(user, SimpleLazyObject) else user
    return user if isinstance(user, Model) and getattr(user, "is_authenticated", False) else None


def forget_permissions(user: Model) -> None:
    """Have permissions looked up again, where their reads are captured: Django keeps them on the user."""
    for name in KEPT_PERMISSIONS:
        user.__dict__.pop(name, None)


def watch_session(request: Any) -> None:
    """Have every computation that reads the session of this request kept out of the cache: it is one visitor's own."""
    session = getattr(request, "session", None)
    if session is not None and not hasattr(type(session), "cachekit_watched"):
        session.__class__ = _watched(cast("Any", type(session)))


@lru_cache(maxsize=16)
def _watched(kind: type) -> type:
    """Return a class of sessions that notice who reads them; Django notes that in an attribute, `accessed`."""

    def accessed(session: Any) -> bool:
        return bool(session.__dict__.get("accessed"))

    def note(session: Any, value: bool) -> None:
        session.__dict__["accessed"] = value
        if value and (capture := current.get()) is not None:
            capture.spoil("it reads the session")

    body = {"__module__": kind.__module__, "cachekit_watched": True, "accessed": property(accessed, note)}
    return type(kind.__name__, (kind,), body)
