"""Whose data is read and written: the tenant that a project's callable names, as part of keys and tags."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from cachekit.conf import conf
from cachekit.core import tags
from cachekit.core.contexts import put_back

_NAME = re.compile(rf"[{tags.TENANT_LETTERS}]{{1,63}}")
_chosen: ContextVar[str | None] = ContextVar("cachekit_tenant", default=None)


@contextmanager
def tenant(name: str | None) -> Iterator[None]:
    """Act for one tenant inside, whatever the project's callable says; None or "" for what all share."""
    token = _chosen.set(_checked(name))
    try:
        yield
    finally:
        put_back(_chosen, token)


def current() -> str:
    """Return the name of the tenant for whom things are read and written now, or nothing."""
    path = conf().TENANT
    if not path:
        return ""
    chosen = _chosen.get()
    return _checked(naming(path)()) if chosen is None else chosen


@lru_cache(maxsize=8)
def naming(path: str) -> Callable[[], Any]:
    """Return the project's callable. Raises ImproperlyConfigured."""
    try:
        found = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"CACHEKIT['TENANT'] names {path!r}, which cannot be imported: {error}") from error
    if not callable(found):
        raise ImproperlyConfigured(f"CACHEKIT['TENANT'] names {path!r}, which cannot be called: {found!r:.80}")
    named: Callable[[], Any] = found
    return named


def _checked(name: object) -> str:
    if name is None or name == "":
        return ""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ImproperlyConfigured(
            f"A tenant's name has 1 to 63 letters, digits and signs of '_.-', not {name!r:.100}. "
            "Return its schema's name or its primary key as text; None for what all tenants share."
        )
    return name


def part_of_key() -> tuple[str, ...]:
    """Return what a key says of its tenant."""
    name = current()
    return (f"@{name}",) if name else ()


def qualified(text: str) -> str:
    """Return a tag as the present tenant's; tags of the database, of everything and of shared tables have none."""
    if not conf().TENANT or not (name := current()) or not _has_tenants(text):
        return text
    return f"[{name}]{text}"


def spread(texts: Iterable[str]) -> Collection[str]:
    """Return what is told when these tags are invalidated, so that readers without a tenant miss nothing.

    A write for one tenant tells whoever reads the table for none; a write for none tells every tenant.
    """
    if not conf().TENANT:
        return tuple(texts)
    found: dict[str, None] = {}
    for text in texts:
        found[text] = None
        found.update(dict.fromkeys(_beyond(text)))
    return tuple(found)


def _beyond(text: str) -> Iterable[str]:
    name, inner = tags.tenant_of(text)
    tag = tags.parse(inner)
    family = tag.family
    if not _has_tenants(inner) or name == tags.for_all(""):
        return ()
    of_a_table = tag.kind in ("table", "row", "slice") or inner.endswith(("#*", "?*"))
    if of_a_table:
        family = family.removesuffix("#*").removesuffix("?*")
        return (family, f"{family}#*", f"{family}?*") if name else (tags.for_all(family),)
    return () if name or tag.kind == "member" else (tags.for_all(inner),)


def _has_tenants(text: str) -> bool:
    if text == tags.EVERYTHING or text.startswith(("db:", tags.TABLE)) or tags.tenant_of(text)[0]:
        return False
    shared = conf().SHARED
    if not shared:
        return True
    label = re.split("[@#?]", text, maxsplit=1)[0].lower()
    return not {label, label.partition(".")[0]} & {one.lower() for one in shared}
