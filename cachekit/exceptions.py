"""What cachekit raises: every message says what happened, then what to do."""

from __future__ import annotations


class CachekitError(Exception):
    """The common parent of every error that cachekit raises on purpose."""


class StoreUnavailable(CachekitError):
    """The cache server cannot be reached, does not answer in time, or refuses to write."""

    hung = False
    """Whether it was waited for in vain, so that to ask once more would mean to wait once more."""


class MissingExtra(CachekitError, ImportError):
    """A feature was used whose optional dependency is not installed."""

    @classmethod
    def of(cls, extra: str) -> MissingExtra:
        """Name the extra to install."""
        return cls(f"This needs the extra '{extra}'. Install it with: pip install 'django-cachekit[{extra}]'")


class InvalidTag(CachekitError, ValueError):
    """A tag is empty, too long, or holds white space or control characters."""


class InvalidKey(CachekitError, ValueError):
    """A cache key cannot be made from these arguments, or is too long for the server."""


class UncacheableValue(CachekitError, TypeError):
    """A value cannot be stored: it does not pickle, streams, or is larger than MAX_VALUE_BYTES."""


class ImproperStore(CachekitError, LookupError):
    """A cache alias is missing from CACHES or does not use a cachekit backend."""
