"""Payloads: a byte that says in which form a value follows, a signature where reading runs code, and the value."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

from cachekit.core import compressors, formats
from cachekit.core.codecs import Format, Undecodable
from cachekit.core.compressors import Compressor
from cachekit.core.scalars import BYTES, MARKED, READERS, TEXT, WRITERS

MARK = b"\xc1"
"""Stands before a payload where other things may stand: a byte that begins no text, number, pickle or msgpack."""
PAGE, FOREIGN, ROW, ROWS = 12, 13, 14, 15
"""Forms of what is written elsewhere: responses; what a serializer wrote that is not ours, and we compressed; rows."""
_SIGNED = frozenset({formats.PICKLE, ROW, ROWS})
SIGNATURE_SIZE = 12
"""Bytes. Who would forge one has to try each guess on a running process: NIST SP 800-107 asks for 8 at least."""
_TEXTUAL = frozenset({TEXT, BYTES, MARKED})
_FORMATS = {number: name for name, number in formats.NUMBERS.items()}
_COMPRESSORS = {number: name for name, number in compressors.NUMBERS.items()}


class Packing(NamedTuple):
    """How values are written: in which format, and from how many bytes on compressed."""

    format: Format
    compressor: Compressor | None = None
    compress_from: int = 1024
    limit: int = 8 * 1024 * 1024
    """Nothing larger is compressed, and nothing that would become larger is decompressed."""


class Opened(NamedTuple):
    """A payload without signature and compression."""

    number: int
    body: bytes


class Packer:
    """A codec that writes as it is told, and reads whatever any packer has written.

    `keys` gives the signing keys, the one to sign with first; it is asked at each use.
    """

    def __init__(self, packing: Packing, keys: Callable[[], Sequence[bytes]]) -> None:
        self.packing = packing
        self._keys = keys
        self.least = packing.compress_from if packing.compressor is not None else packing.limit + 1

    def dumps(self, value: Any) -> bytes:
        """Encode. Raises UncacheableValue."""
        write = WRITERS.get(type(value))
        if write is not None:
            try:
                payload = write(value)
            except UnicodeEncodeError:  # text with half a character
                pass
            else:
                short = len(payload) <= self.least or payload[0] not in _TEXTUAL
                return payload if short else self.sealed(payload[0], payload[1:], signed=False)
        form = self.packing.format
        return self.sealed(form.number, form.dumps(value), signed=form.signed)

    def loads(self, payload: bytes, at: int = 0) -> Any:
        """Decode what begins at a byte. Raises Undecodable."""
        try:
            read = READERS.get(payload[at])
            if read is not None:
                return read(payload[at + 1 :])
            opened = self.opened(payload[at:])
            read = READERS.get(opened.number)
            return self._format(opened.number).loads(opened.body) if read is None else read(opened.body)
        except Undecodable:
            raise
        except Exception as error:
            raise Undecodable(f"A stored value cannot be read: {type(error).__name__}: {error}") from error

    def opened(self, payload: bytes) -> Opened:
        """Verify and decompress. Raises Undecodable, and whatever a compressor raises."""
        form, body = payload[0], payload[1:]
        number, compressor = form & 15, form >> 4
        if number in _SIGNED or (number == self.packing.format.number and self.packing.format.signed):
            body = self._verified(form, body)
        if compressor:
            body = _compressor(compressor).decompress(body, self.packing.limit)
        return Opened(number, body)

    def sealed(self, number: int, body: bytes, *, signed: bool) -> bytes:
        """Compress where that makes it smaller, and sign what then is read."""
        compressor, form = self.packing.compressor, number
        if compressor is not None and self.least <= len(body) <= self.packing.limit:
            smaller = compressor.compress(body)
            if len(smaller) < len(body):
                body, form = smaller, number | compressor.number << 4
        if signed:
            return b"%c%b%b" % (form, sign(form, body, self._keys()[0]), body)
        return b"%c%b" % (form, body)

    def _verified(self, form: int, signed: bytes) -> bytes:
        signature, body = signed[:SIGNATURE_SIZE], signed[SIGNATURE_SIZE:]
        first, *fallbacks = self._keys()
        if not hmac.compare_digest(signature, sign(form, body, first)) and not any(
            hmac.compare_digest(signature, sign(form, body, key)) for key in fallbacks
        ):
            raise Undecodable("A stored value is not signed with SECRET_KEY or one of SECRET_KEY_FALLBACKS.")
        return body

    def _format(self, number: int) -> Format:
        return self.packing.format if number == self.packing.format.number else _format(number)


@lru_cache(maxsize=32)
def _format(number: int) -> Format:
    if number not in _FORMATS:
        raise Undecodable(f"No codec has the number {number}.")
    return formats.format_of(_FORMATS[number])


@lru_cache(maxsize=32)
def _compressor(number: int) -> Compressor:
    if number not in _COMPRESSORS:
        raise Undecodable(f"No compressor has the number {number}.")
    return compressors.compressor_of(_COMPRESSORS[number])


def sign(form: int, body: bytes, key: bytes) -> bytes:
    """Return the keyed digest of what follows a form."""
    return blake2b(body, digest_size=SIGNATURE_SIZE, key=key, salt=b"%c" % form).digest()


def signing_key(secret: str | bytes) -> bytes:
    """Derive a signing key from a project's secret."""
    data = secret.encode() if isinstance(secret, str) else secret
    return blake2b(data, digest_size=32, person=b"cachekit.pickle").digest()
