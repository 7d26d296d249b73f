"""Codecs turn values into bytes and back; pickles are signed, and refused when the signature is not ours."""

from __future__ import annotations

import hmac
import pickle
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Protocol

from cachekit.exceptions import CachekitError, UncacheableValue

SIGNATURE_SIZE = 16


class Undecodable(CachekitError, ValueError):
    """A payload does not verify or does not decode: it is counted and treated as a miss."""


class Codec(Protocol):
    """Values to bytes and back; `number` names the codec in envelopes."""

    number: int

    def dumps(self, value: Any) -> bytes:
        """Encode. Raises UncacheableValue."""

    def loads(self, payload: bytes) -> Any:
        """Decode. Raises Undecodable."""


class SignedPickle:
    """Pickle with a keyed digest before it, so that whoever can write to the server cannot run code here.

    `keys` gives the signing keys, the one to sign with first; it is asked at each use.
    """

    number = 1

    def __init__(self, keys: Callable[[], Sequence[bytes]], protocol: int = pickle.HIGHEST_PROTOCOL) -> None:
        self._keys = keys
        self._protocol = protocol

    def dumps(self, value: Any) -> bytes:
        """Encode. Raises UncacheableValue, naming the type, for what does not pickle."""
        try:
            body = pickle.dumps(value, self._protocol)
        except Exception as error:
            raise UncacheableValue(
                f"A value of type {type(value).__qualname__} cannot be pickled ({type(error).__name__}: {error}). "
                "Return plain data instead, for example list(queryset) or a dict."
            ) from error
        return sign(body, self._keys()[0]) + body

    def loads(self, payload: bytes) -> Any:
        """Decode. Raises Undecodable for another's signature and for classes that are no longer there."""
        signature, body = payload[:SIGNATURE_SIZE], payload[SIGNATURE_SIZE:]
        first, *fallbacks = self._keys()
        if not hmac.compare_digest(signature, sign(body, first)) and not any(
            hmac.compare_digest(signature, sign(body, key)) for key in fallbacks
        ):
            raise Undecodable("A stored value is not signed with SECRET_KEY or one of SECRET_KEY_FALLBACKS.")
        try:
            return pickle.loads(body)
        except Exception as error:
            raise Undecodable(f"A stored value no longer unpickles: {type(error).__name__}") from error


def sign(body: bytes, key: bytes) -> bytes:
    """Return the keyed digest of a payload."""
    return blake2b(body, digest_size=SIGNATURE_SIZE, key=key).digest()


def signing_key(secret: str | bytes) -> bytes:
    """Derive a signing key from a project's secret."""
    data = secret.encode() if isinstance(secret, str) else secret
    return blake2b(data, digest_size=32, person=b"cachekit.pickle").digest()
