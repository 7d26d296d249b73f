"""Encode rows of the database, tuples of plain values, so that their types come back exactly."""

from __future__ import annotations

import datetime
import decimal
import marshal
import uuid
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from cachekit.core import copies
from cachekit.core.codecs import Undecodable
from cachekit.core.packing import ROW, ROWS, Packer
from cachekit.exceptions import UncacheableValue

PLAIN = frozenset({type(None), bool, int, float, str, bytes})
"""What marshal writes and reads as it is, by exact type: a subclass would come back as its base."""
_VERSION = 4
"""Of marshal; Python 3.4 and all later releases read it."""


class Packed(bytes):
    """A value that could be changed, such as a dict, as bytes: each reader opens a copy of its own."""

    __slots__ = ()

    def open(self) -> Any:
        """Return a fresh copy of the value."""
        return marshal.loads(self)  # noqa: S302 - only what was signed is decoded


def _packed(value: Any) -> bytes:
    if not _is_plain(value):
        raise UncacheableValue(f"a {type(value).__qualname__} holds more than lists, dicts, texts and numbers")
    return marshal.dumps(value, 2)  # the same bytes for equal values: later versions refer to what they share


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind in PLAIN:
        return True
    if kind is dict:
        return all(type(key) in PLAIN and _is_plain(one) for key, one in value.items())
    return kind in (list, tuple) and all(map(_is_plain, value))


def _stamp(value: datetime.datetime) -> str:
    if value.tzinfo is not None and value.tzinfo is not datetime.UTC:
        raise UncacheableValue(f"a datetime has the zone {value.tzinfo!r}, not UTC")
    if value.fold:
        raise UncacheableValue("a datetime has a fold")
    text = value.isoformat()
    return text if value.tzinfo is None else f"{text[:-6]}Z"


def _clock(value: datetime.time) -> str:
    if value.tzinfo is not None or value.fold:
        raise UncacheableValue("a time has a zone or a fold")
    return value.isoformat()


def _span(value: datetime.timedelta) -> tuple[int, int, int]:
    return value.days, value.seconds, value.microseconds


_WRITERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    decimal.Decimal: ("d", str),
    datetime.datetime: ("s", _stamp),
    datetime.date: ("o", datetime.date.toordinal),
    datetime.time: ("c", _clock),
    datetime.timedelta: ("t", _span),
    uuid.UUID: ("u", lambda value: value.bytes),
    memoryview: ("m", bytes),
    dict: ("p", _packed),
    list: ("p", _packed),
    tuple: ("p", _packed),
    Packed: ("p", bytes),
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "d": decimal.Decimal,
    "s": datetime.datetime.fromisoformat,
    "o": datetime.date.fromordinal,
    "c": datetime.time.fromisoformat,
    "t": lambda parts: datetime.timedelta(*parts),
    "u": lambda data: uuid.UUID(bytes=data),
    "m": memoryview,
    "p": Packed,
}


def frozen(row: Sequence[Any]) -> tuple[Any, ...]:
    """Return a row whose changeable values are packed, as it comes out of the codec. Raises UncacheableValue."""
    out = [Packed(_packed(one)) if type(one) in (dict, list, tuple) else one for one in row]
    for one in out:
        if type(one) not in PLAIN and type(one) not in _WRITERS:
            raise UncacheableValue(f"a {type(one).__module__}.{type(one).__qualname__} is no plain value")
    return tuple(out)


Steps = tuple[tuple[int, Callable[[Any], Any]], ...]
"""What is done to the values in some places of a row."""


@lru_cache(maxsize=1024)
def _writing(kinds: tuple[type, ...]) -> tuple[str, Steps]:
    """Return how a row of values of these types is written: a text of the places and kinds of what is not plain."""
    odd, steps = "", []
    for at, kind in enumerate(kinds):
        if kind in PLAIN:
            continue
        if kind not in _WRITERS:
            raise UncacheableValue(f"a {kind.__module__}.{kind.__qualname__} is no plain value")
        letter, write = _WRITERS[kind]
        odd += f"{chr(at)}{letter}"
        steps.append((at + 1, write))
    return odd, tuple(steps)


@lru_cache(maxsize=1024)
def _reading(odd: str) -> Steps:
    return tuple([(ord(at), _READERS[letter]) for at, letter in zip(odd[::2], odd[1::2], strict=True)])


def _written(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what marshal can write."""
    odd, steps = _writing((*map(type, row),))
    if not steps:
        return odd, *row
    values = [odd, *row]
    for at, write in steps:
        values[at] = write(values[at])
    return tuple(values)


def _read(written: tuple[Any, ...]) -> tuple[Any, ...]:
    row = list(written[1:])
    for at, read in _reading(written[0]):
        row[at] = read(row[at])
    return tuple(row)


class RowCodec:
    """One row as a tuple, or with `many` a tuple of rows; signed, since marshal trusts what it reads.

    Values come back with their very types; what could be changed comes back `Packed`, so that a decoded row may be
    handed to any number of readers.
    """

    def __init__(self, packer: Packer, *, many: bool = False) -> None:
        self._packer = packer
        self._many = many
        self._number = ROWS if many else ROW

    def dumps(self, value: Any) -> bytes:
        """Encode. Raises UncacheableValue for what holds other values than a database's plain ones."""
        written = tuple(map(_written, value)) if self._many else _written(value)
        return self._packer.sealed(self._number, marshal.dumps(written, _VERSION), signed=True)

    def loads(self, payload: bytes) -> tuple[Any, ...]:
        """Decode. Raises Undecodable for another's signature, or another form."""
        try:
            opened = self._packer.opened(payload)
            if opened.number == self._number:
                written = marshal.loads(opened.body)  # noqa: S302 - signed
                if self._many:
                    return tuple([_read(one) if one[0] else one[1:] for one in written])
                return _read(written) if written[0] else written[1:]
        except Undecodable:
            raise
        except Exception as error:
            raise Undecodable(f"A stored row no longer decodes: {type(error).__name__}") from error
        raise Undecodable(f"A stored value is in the form {opened.number}: that is no row.")


copies.declare_immutable(Packed)
