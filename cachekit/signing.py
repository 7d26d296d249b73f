"""The project's codec: pickles signed with keys derived from SECRET_KEY and SECRET_KEY_FALLBACKS."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.core.signals import setting_changed

from cachekit.core.codecs import SignedPickle, signing_key


@cache
def signing_keys() -> tuple[bytes, ...]:
    """Return the keys that verify, the one that signs first."""
    return tuple(signing_key(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


def _forget(*, setting: str, **_: object) -> None:
    if setting in ("SECRET_KEY", "SECRET_KEY_FALLBACKS"):
        signing_keys.cache_clear()


setting_changed.connect(_forget, dispatch_uid="cachekit.signing")

pickles = SignedPickle(signing_keys)
