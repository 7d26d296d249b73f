"""Decompress what django-redis's compressors wrote, no further than a value may be large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_redis.exceptions import CompressorError

from cachekit.core.compressors import inflated

GZIP = 31
"""zlib's name for gzip's frame."""


def decompressing(compressor: Any, limit: int) -> Callable[[bytes], bytes]:
    """Return how to decompress; what is not compressed, as short values are not, comes back as it is."""
    if compressor is None:
        return lambda data: data
    known = _STREAMS.get(f"{type(compressor).__module__}.{type(compressor).__name__}")
    if known is not None:
        return lambda data: _bounded(*known, data, limit)

    def decompress(data: bytes) -> bytes:
        try:
            found: bytes = compressor.decompress(data)
        except CompressorError:
            return data
        return found

    return decompress


def _bounded(start: bytes, make: Callable[[bytes, int], bytes], data: bytes, limit: int) -> bytes:
    if not data.startswith(start):
        return data
    try:
        return make(data, limit)
    except ValueError:  # too large, or cut off
        raise
    except Exception:  # noqa: BLE001 - each library has its own error for what it did not write
        return data


def _lzma(data: bytes, limit: int) -> bytes:
    import lzma  # noqa: PLC0415 - rarely used

    return _whole(lzma.LZMADecompressor(), data, limit)


def _lz4(data: bytes, limit: int) -> bytes:
    from lz4.frame import LZ4FrameDecompressor  # noqa: PLC0415 - the extra

    return _whole(LZ4FrameDecompressor(), data, limit)


def _zstd(data: bytes, limit: int) -> bytes:
    import pyzstd  # noqa: PLC0415 - what django-redis uses

    return _whole(pyzstd.ZstdDecompressor(), data, limit)


def _whole(stream: Any, data: bytes, limit: int) -> bytes:
    found: bytes = stream.decompress(data, limit)
    if not stream.eof:
        raise ValueError(f"It is not whole, or larger than {limit:,} bytes.")
    return found


_STREAMS: dict[str, tuple[bytes, Callable[[bytes, int], bytes]]] = {
    "django_redis.compressors.zlib.ZlibCompressor": (b"x", inflated),
    "django_redis.compressors.gzip.GzipCompressor": (b"\x1f\x8b", lambda data, limit: inflated(data, limit, GZIP)),
    "django_redis.compressors.lzma.LzmaCompressor": (b"\xfd7zXZ", _lzma),
    "django_redis.compressors.lz4.Lz4Compressor": (b"\x04\x22M\x18", _lz4),
    "django_redis.compressors.zstd.ZStdCompressor": (b"\x28\xb5\x2f\xfd", _zstd),
}
"""How what each compressor writes begins, and what reads it."""
