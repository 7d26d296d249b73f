"""Commands that are sent most, put together by one format each: `pack` looks at every part."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple


class Expiry(NamedTuple):
    """How long something stays, as the last parts of a command, and how many these are."""

    number: int
    parts: bytes


FOR_EVER = Expiry(0, b"")


@lru_cache(maxsize=256)
def expiry(milliseconds: int | None) -> Expiry:
    """Return the parts that say so; None is for ever."""
    if milliseconds is None:
        return FOR_EVER
    digits = b"%d" % milliseconds
    return Expiry(2, b"$2\r\nPX\r\n$%d\r\n%b\r\n" % (len(digits), digits))


def encoded(key: str) -> bytes:
    """Return a key as the server knows it."""
    try:
        return key.encode()
    except UnicodeEncodeError:  # half a character
        return key.encode("utf-8", "surrogatepass")


def storing(key: bytes, data: bytes, end: Expiry) -> bytes:
    """Return a SET."""
    parts = (3 + end.number, len(key), key, len(data), data, end.parts)
    return b"*%d\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n%b" % parts


def fetching(prefix: str, names: Sequence[str], last: bytes) -> bytes:
    """Return the MGET of these names, and of the key whose packed part is `last`."""
    return b"*%d\r\n$4\r\nMGET\r\n%b%b" % (len(names) + 2, _framed(prefix, names), last)


def storing_many(prefix: str, values: Sequence[tuple[str, bytes]], end: Expiry) -> bytes:
    """Return one command that stores everything: MSETEX, which not every server has, or MSET where all stays."""
    pairs = [
        b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(data), data)
        for key, data in [(encoded(prefix + name), data) for name, data in values]
    ]
    if not end.number:
        return b"*%d\r\n$4\r\nMSET\r\n%b" % (1 + 2 * len(pairs), b"".join(pairs))
    digits = b"%d" % len(pairs)
    head = (2 + 2 * len(pairs) + end.number, len(digits), digits)
    return b"*%d\r\n$6\r\nMSETEX\r\n$%d\r\n%b\r\n%b%b" % (*head, b"".join(pairs), end.parts)


def _framed(prefix: str, names: Sequence[str]) -> bytes:
    """Return keys as parts of a command: text is faster to join, where a character is a byte."""
    more = len(prefix)
    text = "".join([f"${len(name) + more}\r\n{prefix}{name}\r\n" for name in names])
    if text.isascii():
        return text.encode()
    return b"".join([b"$%d\r\n%b\r\n" % (len(key), key) for key in [encoded(prefix + name) for name in names]])
