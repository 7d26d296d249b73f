"""Who comes to the dashboard, and where its pages are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse


class Person(TypedDict, total=False):
    """What a user is and may."""

    is_staff: bool
    is_superuser: bool
    is_active: bool
    may: list[str]


PEOPLE: dict[str, Person | None] = {
    "anonymous": None,
    "visitor": {"is_staff": False},
    "staff": {"is_staff": True},
    "viewer": {"is_staff": True, "may": ["view_cache"]},
    "purger": {"is_staff": True, "may": ["purge_cache"]},
    "operator": {"is_staff": True, "may": ["view_cache", "purge_cache"]},
    "inactive": {"is_staff": True, "is_active": False, "may": ["view_cache", "purge_cache"]},
    "superuser": {"is_staff": True, "is_superuser": True},
}

Login = Callable[[str], Client]


def logged_in(who: str) -> Client:
    """Return the browser of such a person."""
    client, facts = Client(), PEOPLE[who]
    if facts is not None:
        may = facts.get("may", [])
        user = User.objects.create(username=who, **{name: value for name, value in facts.items() if name != "may"})
        user.user_permissions.set(Permission.objects.filter(codename__in=may))
        client.force_login(user)
    return client


def url(name: str, *args: str) -> str:
    """Return the address of a page of the dashboard."""
    return reverse(f"admin:cachekit_cache_{name}", args=args)
