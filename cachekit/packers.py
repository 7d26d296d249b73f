"""Which codec and which compressor an alias of CACHES keeps its values with."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from cachekit.conf import conf
from cachekit.core.compressors import compressor_of
from cachekit.core.formats import format_of
from cachekit.core.packing import Packer, Packing
from cachekit.core.rowcodec import RowCodec
from cachekit.signing import signing_keys


class Choice(NamedTuple):
    """A codec and a compressor by their names."""

    codec: str
    compressor: str
    compress_from: int
    limit: int
    protocol: int = pickle.HIGHEST_PROTOCOL


def choice_of(options: Mapping[str, Any], codec: str = "") -> Choice:
    """Return what OPTIONS of an alias choose, or else the setting CACHEKIT. Raises ImproperlyConfigured.

    A COMPRESSOR with a dot is the path of one of django-redis's, which compresses values of the CACHES door only.
    """
    given, path = conf(), options.get("COMPRESSOR")
    compressor = given.COMPRESSOR if path is None or "." in str(path) else path
    codec = codec or options.get("CODEC", given.CODEC)
    least = options.get("COMPRESS_FROM", given.COMPRESS_FROM)
    for name, value in (("CODEC", codec), ("COMPRESSOR", compressor)):
        if not isinstance(value, str):
            raise ImproperlyConfigured(f"{name} is a name, such as 'json' or 'zlib'; not {value!r}")
    if not isinstance(least, int) or isinstance(least, bool) or least < 0:
        raise ImproperlyConfigured(f"COMPRESS_FROM is a number of bytes, 0 or more; not {least!r}")
    return Choice(codec, compressor, least, given.MAX_VALUE_BYTES)


@lru_cache(maxsize=256)
def made(choice: Choice) -> Packer:
    """Return the packer of a choice. Raises ImproperlyConfigured for unknown names, MissingExtra."""
    return Packer(packing_of(choice), signing_keys)


def packing_of(choice: Choice) -> Packing:
    """Find what a choice names. Raises ImproperlyConfigured for unknown names, MissingExtra."""
    try:
        format_ = format_of(choice.codec, choice.protocol)
        compressor = compressor_of(choice.compressor) if choice.compressor else None
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from error
    return Packing(format_, compressor, choice.compress_from, choice.limit)


@lru_cache(maxsize=256)
def packer(alias: str, codec: str = "") -> Packer:
    """Return the codec of an alias's entries; `codec` names another. Raises ImproperlyConfigured, MissingExtra."""
    return made(chosen(alias, codec))


@lru_cache(maxsize=256)
def row_codec(alias: str, *, many: bool = False) -> RowCodec:
    """Return the codec of an alias's rows. Raises ImproperlyConfigured, MissingExtra."""
    return RowCodec(packer(alias), many=many)


def chosen(alias: str, codec: str = "") -> Choice:
    """Return what the settings choose for an alias. Raises ImproperlyConfigured."""
    return choice_of(settings.CACHES.get(alias, {}).get("OPTIONS") or {}, codec)


def _forget(*, setting: str, **_: object) -> None:
    if setting in ("CACHES", "CACHEKIT"):
        packer.cache_clear()
        row_codec.cache_clear()


setting_changed.connect(_forget, dispatch_uid="cachekit.packers")
