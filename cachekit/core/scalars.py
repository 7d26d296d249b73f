"""Scalars as they are, without a codec: a byte says which kind follows."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

TEXT, BYTES, INT, FLOAT, NONE, TRUE, FALSE, MARKED = range(4, 12)
"""Forms; what is stored keeps these numbers for ever."""
_FLOAT = struct.Struct(">Bd")


def _integer(value: int) -> bytes:
    return b"%c%b" % (INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _read_integer(body: bytes) -> int:
    if not body:
        raise ValueError("An integer has at least one byte.")
    return int.from_bytes(body, "big", signed=True)


def _read_float(body: bytes) -> float:
    value: float = _FLOAT.unpack(b"\0" + body)[1]
    return value


def _constant(value: bool | None) -> Callable[[bytes], bool | None]:
    def read(body: bytes) -> bool | None:
        if body:
            raise ValueError("Nothing follows a constant.")
        return value

    return read


WRITERS: dict[type, Callable[[Any], bytes]] = {
    str: lambda value: b"\x04" + value.encode(),
    bytes: lambda value: b"\x05" + value,
    int: _integer,
    float: lambda value: _FLOAT.pack(FLOAT, value),
    type(None): lambda _: b"\x08",
    bool: lambda value: b"\x09" if value else b"\x0a",
}
"""By exact type; they return the form and what follows."""
READERS: dict[int, Callable[[bytes], Any]] = {
    TEXT: bytes.decode,
    BYTES: bytes,
    INT: _read_integer,
    FLOAT: _read_float,
    NONE: _constant(None),
    TRUE: _constant(True),
    FALSE: _constant(False),
}
"""By form; they take what follows it."""


def know_marked(kind: type[str]) -> None:
    """Have text of this class, such as text marked as safe HTML, come back as that class."""
    WRITERS[kind] = lambda value: b"\x0b" + value.encode()
    READERS[MARKED] = lambda body: kind(body.decode())
