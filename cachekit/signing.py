"""The project's signing keys, derived from SECRET_KEY and SECRET_KEY_FALLBACKS, and the plainest codec."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.core.signals import setting_changed

from cachekit.core.formats import Pickle
from cachekit.core.packing import Packer, Packing, signing_key


@cache
def signing_keys() -> tuple[bytes, ...]:
    """Return the keys that verify, the one that signs first."""
    return tuple(signing_key(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


def _forget(*, setting: str, **_: object) -> None:
    if setting in ("SECRET_KEY", "SECRET_KEY_FALLBACKS"):
        signing_keys.cache_clear()


setting_changed.connect(_forget, dispatch_uid="cachekit.signing")

pickles = Packer(Packing(Pickle()), signing_keys)
