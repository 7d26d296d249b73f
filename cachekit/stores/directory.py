"""Find the store of an alias: one per process, whatever the number of threads."""

from __future__ import annotations

import threading
from functools import cache

from django.conf import settings
from django.core.cache import caches
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from cachekit.exceptions import ImproperStore
from cachekit.stores.base import Store

_stores: dict[str, Store] = {}
_lock = threading.Lock()

standing = _stores.get
"""Return the store of an alias that has been made already, or None."""


def store_for(alias: str) -> Store:
    """Return the store behind an alias of CACHES. Raises ImproperStore where there is none."""
    found = _stores.get(alias)
    return found if found is not None else _made(alias)


def aliases() -> list[str]:
    """Return the aliases of CACHES that use a cachekit backend, in the order of the setting."""
    return list(_aliases())


@cache
def _aliases() -> tuple[str, ...]:
    """Look at the classes only: to make a cache may take a package that another alias needs, and fail."""
    found = []
    for alias, given in settings.CACHES.items():
        try:
            backend = import_string(given["BACKEND"])
        except (ImportError, KeyError):  # Django says so where this alias is used
            continue
        if hasattr(backend, "make_store"):
            found.append(alias)
    return tuple(found)


def forget() -> None:
    """Forget every store, so that changed settings are read anew."""
    with _lock:
        for store in _stores.values():
            store.reset()
        _stores.clear()
        _aliases.cache_clear()


def _made(alias: str) -> Store:
    if alias not in settings.CACHES:
        known = ", ".join(settings.CACHES)
        raise ImproperStore(
            f"CACHES has no alias '{alias}' (it has: {known}). Add it, or name another by alias=… or CACHEKIT['ALIAS']."
        )
    make = getattr(caches[alias], "make_store", None)
    if make is None:
        backend = settings.CACHES[alias].get("BACKEND")
        raise ImproperStore(
            f"CACHES['{alias}'] uses {backend}. Set its BACKEND to 'cachekit.backends.RedisCache' "
            "(LOCATION and OPTIONS may stay), or to 'cachekit.backends.MemoryCache' without a server."
        )
    with _lock:
        if alias not in _stores:
            _stores[alias] = make(alias)
        return _stores[alias]


def _changed(*, setting: str, **_: object) -> None:
    if setting in ("CACHES", "CACHEKIT"):
        forget()


setting_changed.connect(_changed, dispatch_uid="cachekit.stores")
