"""Turn values into what the server keeps and back: integers raw, so that INCR works, all else serialized."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.utils.module_loading import import_string
from django_redis.exceptions import CompressorError

from cachekit.backends import serializers
from cachekit.core.codecs import Undecodable

SERIALIZER = "cachekit.backends.serializers.SignedPickle"
COMPRESSOR = "django_redis.compressors.identity.IdentityCompressor"
DIGITS = 20
"""The longest a raw integer gets: 64 bits and a sign, which is what INCR can count."""


class Codec:
    """The serializer and the compressor of one alias."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.serializer = serializers.made(options.get("SERIALIZER", SERIALIZER), options)
        path = options.get("COMPRESSOR", COMPRESSOR)
        self.compressor = None if path == COMPRESSOR else import_string(path)(options=options)

    def encode(self, value: Any, *, allow_int: bool = True) -> bytes:
        """Return what the server keeps. Raises UncacheableValue for what the serializer does not take."""
        if allow_int and type(value) is int and value.bit_length() < 64:
            return b"%d" % value
        data = self.serializer.dumps(value)
        if type(data) is not bytes:  # a serializer for Django's backend may leave integers alone, JSON may give text
            data = str(data).encode()
        compressed: bytes = data if self.compressor is None else self.compressor.compress(data)
        return compressed

    def decode(self, data: bytes) -> Any:
        """Return the value. Raises Undecodable for what is not ours, or no longer readable."""
        if len(data) <= DIGITS and (data.isdigit() or (data[:1] == b"-" and data[1:].isdigit())):
            return int(data)
        try:
            if self.compressor is not None:
                with suppress(CompressorError):  # small values are not compressed
                    data = self.compressor.decompress(data)
            return self.serializer.loads(data)
        except Undecodable:
            raise
        except Exception as error:  # other serializers raise what they like
            raise Undecodable(f"A stored value cannot be read: {type(error).__name__}") from error
