"""Compressors, and decompression that ends where a value would become too large: what was stored may be a bomb."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from cachekit.core.formats import unknown
from cachekit.exceptions import MissingExtra

NUMBERS = {"zlib": 1, "lz4": 2, "zstd": 3}
NAMES = tuple(NUMBERS)


class Compressor(NamedTuple):
    """A compressor's number, which is never given to another, and its two functions."""

    number: int
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes, int], bytes]
    """Takes the greatest size allowed. May raise anything for what it did not write."""


@lru_cache(maxsize=len(NUMBERS) + 1)
def compressor_of(name: str) -> Compressor:
    """Return a compressor. Raises ValueError for a name there is not, MissingExtra where its library is missing."""
    if name == "zlib":
        return Compressor(NUMBERS[name], lambda data: zlib.compress(data, 6), inflated)
    if name not in NUMBERS:
        raise unknown("compressor", name, NAMES)
    try:
        return _lz4() if name == "lz4" else _zstd()
    except ImportError as error:
        raise MissingExtra.of(name) from error


def inflated(data: bytes, limit: int, wbits: int = zlib.MAX_WBITS) -> bytes:
    """Decompress what zlib wrote. Raises ValueError for what is too large or not whole."""
    stream = zlib.decompressobj(wbits)
    found = stream.decompress(data, limit)
    if not stream.eof or stream.unused_data:
        raise ValueError(f"It is not whole, or larger than {limit:,} bytes.")
    return found


def _lz4() -> Compressor:
    from lz4 import block  # noqa: PLC0415 - the extra

    def decompressed(data: bytes, limit: int) -> bytes:
        size = int.from_bytes(data[:4], "little")  # as it says itself
        if not 0 < size <= min(limit, 255 * len(data)):
            raise ValueError(f"It is larger than {limit:,} bytes, or no lz4.")
        found: bytes = block.decompress(data)
        if len(found) != size:
            raise ValueError("It is not whole.")
        return found

    return Compressor(NUMBERS["lz4"], block.compress, decompressed)


def _zstd() -> Compressor:
    import zstandard  # noqa: PLC0415 - the extra

    class Own(threading.local):
        """Contexts are not to be shared between threads."""

        def __init__(self) -> None:
            self.compress: Any = zstandard.ZstdCompressor(level=3).compress
            self.decompress: Any = zstandard.ZstdDecompressor().decompress

    own = Own()

    def decompressed(data: bytes, limit: int) -> bytes:
        size = zstandard.frame_content_size(data)
        if not 0 < size <= limit:
            raise ValueError(f"It is larger than {limit:,} bytes, or does not say how large it is.")
        found: bytes = own.decompress(data, max_output_size=limit, allow_extra_data=False)
        return found

    def compressed(data: bytes) -> bytes:
        found: bytes = own.compress(data)
        return found

    return Compressor(NUMBERS["zstd"], compressed, decompressed)
