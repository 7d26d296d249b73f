"""Turn values into what the server keeps and back: integers raw, so that INCR works, all else by the alias's codec."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string
from django_redis.serializers.pickle import PickleSerializer

from cachekit import packers
from cachekit.backends import serializers
from cachekit.backends.bounded import decompressing
from cachekit.backends.errors import UnpicklableValue
from cachekit.core.codecs import Undecodable
from cachekit.core.formats import PICKLE
from cachekit.core.packing import MARK, Packer
from cachekit.core.scalars import TEXT
from cachekit.exceptions import UncacheableValue

IDENTITY = "django_redis.compressors.identity.IdentityCompressor"
TEXT_MARK = MARK + b"%c" % TEXT
DIGITS = 20
"""The longest a raw integer gets: 64 bits and a sign, which is what INCR can count."""


class Codec:
    """What an alias's OPTIONS say of its values: our codecs, or a serializer and a compressor made for others."""

    def __init__(self, options: dict[str, Any]) -> None:
        choice, path = packers.choice_of(options), options.get("COMPRESSOR") or IDENTITY
        theirs = not isinstance(path, str) or ("." in path and path != IDENTITY)
        self._compressor = import_string(path)(options=options) if theirs else None
        if theirs or path == IDENTITY:
            choice = choice._replace(compressor="")
        if "PICKLE_VERSION" in options:
            choice = choice._replace(protocol=PickleSerializer(options)._pickle_version)  # noqa: SLF001 - checked there
        packing = packers.packing_of(choice)
        given = options.get("SERIALIZER")
        self._foreign = None if given is None else serializers.Foreign(given, options)
        self._packer: Packer = packers.made(choice) if self._foreign is None else self._foreign.packer(packing)
        self._decompressed = decompressing(self._compressor, choice.limit)
        self.text = TEXT_MARK if self._compressor is None else None
        """How text begins that needs nothing but decoding; None where nothing begins so."""
        self._longest = self._packer.least if self._foreign is None and self._compressor is None else 0
        self.compresses = packing.compressor is not None or theirs
        """Whether values may be stored compressed, so that the server cannot match them."""

    def encode(self, value: Any, *, allow_int: bool = True) -> bytes:
        """Return what the server keeps. Raises UncacheableValue for what the codec does not take."""
        kind = type(value)
        if kind is str and len(value) < self._longest and value.isascii():
            return b"%b%b" % (TEXT_MARK, value.encode())
        if allow_int and kind is int and value.bit_length() < 64:
            return b"%d" % value
        data = self._packed(value) if self._foreign is None else self._foreign.written(value, self._packer)
        if self._compressor is not None:
            data = self._compressor.compress(data)
        return data

    def decode(self, data: bytes) -> Any:
        """Return the value. Raises Undecodable for what is not ours, or no longer readable."""
        if data[:1] == MARK and self._compressor is None:
            return self._packer.loads(data, 1)
        if len(data) <= DIGITS and (data.isdigit() or (data[:1] == b"-" and data[1:].isdigit())):
            return int(data)
        try:
            if self._compressor is not None:
                data = self._decompressed(data)
                if data[:1] == MARK:
                    return self._packer.loads(data, 1)
            if self._foreign is not None:
                return self._foreign.loads(data)
        except Undecodable:
            raise
        except Exception as error:  # other serializers raise what they like
            raise Undecodable(f"A stored value cannot be read: {type(error).__name__}") from error
        raise Undecodable("A stored value was not written by this codec.")

    def _packed(self, value: Any) -> bytes:
        try:
            return MARK + self._packer.dumps(value)
        except UncacheableValue as error:
            if self._packer.packing.format.number == PICKLE:
                raise UnpicklableValue(*error.args) from error.__cause__
            raise
