"""Msgpack, with extensions for the Python types that rows hold, so that each comes back as what it was."""

from __future__ import annotations

import datetime
import decimal
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

import msgspec

from cachekit.core.formats import MSGPACK, refusal
from cachekit.exceptions import UncacheableValue

_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})
_encoder = msgspec.msgpack.Encoder()


class Msgpack:
    """What msgpack can say exactly, with tuples, sets, decimals, UUIDs, dates, times and greater integers."""

    number = MSGPACK
    signed = False

    def __init__(self) -> None:
        self._loads = msgspec.msgpack.Decoder(ext_hook=_read).decode

    def dumps(self, value: Any) -> bytes:
        """Encode. Raises UncacheableValue for all that would come back as something else."""
        try:
            value = _exact(value)
            try:
                return _encoder.encode(value)
            except OverflowError:
                return _encoder.encode(_with_integers(value))
        except UncacheableValue:
            raise
        except (ValueError, RecursionError, OverflowError, TypeError) as error:
            raise refusal("msgpack", value, f"{type(error).__name__}: {error}") from error

    def loads(self, body: bytes) -> Any:
        """Decode."""
        return self._loads(body)


def _exact(value: Any) -> Any:
    """Return a value that msgpack writes so that it comes back the same; most are already."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list:
        return value if _PLAIN.issuperset(map(type, value)) else [_exact(one) for one in value]
    if kind is dict:
        if not _PLAIN.issuperset(map(type, value)):
            raise refusal("msgpack", value, "its keys are not all text, bytes or numbers")
        if _PLAIN.issuperset(map(type, value.values())):
            return value
        return {key: _exact(one) for key, one in value.items()}
    if kind not in _EXTENSIONS:
        raise refusal("msgpack", value, "msgpack has no such type")
    code, parts = _EXTENSIONS[kind]
    return msgspec.msgpack.Ext(code, _encoder.encode(_exact(parts(value))))


def _with_integers(value: Any) -> Any:
    """Return a value with all integers beyond 64 bits as extensions."""
    kind = type(value)
    if kind is int and not -(2**63) <= value < 2**63:
        return msgspec.msgpack.Ext(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
    if kind is list:
        return [_with_integers(one) for one in value]
    if kind is dict:
        if any(type(key) is int and not -(2**63) <= key < 2**63 for key in value):
            raise refusal("msgpack", value, "a key has more than 64 bits")
        return {key: _with_integers(one) for key, one in value.items()}
    return value


def _zone_parts(zone: datetime.tzinfo | None) -> Any:
    if zone is None:
        return None
    if type(zone) is zoneinfo.ZoneInfo and zone.key:
        return zone.key
    if type(zone) is datetime.timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]  # what it pickles by
        return [_span_parts(offset), *name]
    raise refusal("msgpack", zone, "msgpack has no such time zone")


def _zone(parts: Any) -> datetime.tzinfo | None:
    if parts is None:
        return None
    if isinstance(parts, str):
        return zoneinfo.ZoneInfo(parts)
    offset, *name = parts
    return datetime.timezone(_span(offset), *name)


def _span_parts(span: datetime.timedelta) -> list[int]:
    return [span.days, span.seconds, span.microseconds]


def _span(parts: list[int]) -> datetime.timedelta:
    return datetime.timedelta(*parts)


def _clock_parts(one: Any) -> list[Any]:
    return [one.hour, one.minute, one.second, one.microsecond, one.fold, _zone_parts(one.tzinfo)]


def _clock(kind: Any) -> Callable[[list[Any]], Any]:
    def made(parts: list[Any]) -> Any:
        *numbers, fold, zone = parts
        return kind(*numbers, _zone(zone), fold=fold)

    return made


_INTEGER = 10
_EXTENSIONS: dict[type, tuple[int, Callable[[Any], Any]]] = {
    tuple: (1, list),
    set: (2, list),
    frozenset: (3, list),
    decimal.Decimal: (4, str),
    uuid.UUID: (5, lambda one: one.bytes),
    datetime.date: (6, lambda one: one.toordinal()),
    datetime.datetime: (7, lambda one: [one.year, one.month, one.day, *_clock_parts(one)]),
    datetime.time: (8, _clock_parts),
    datetime.timedelta: (9, _span_parts),
}
"""By exact type: the number of the extension, and what is written of a value. The numbers stay for ever."""
_MAKERS: dict[int, Callable[[Any], Any]] = {
    1: tuple,
    2: set,
    3: frozenset,
    4: decimal.Decimal,
    5: lambda data: uuid.UUID(bytes=data),
    6: datetime.date.fromordinal,
    7: _clock(datetime.datetime),
    8: _clock(datetime.time),
    9: _span,
}


def _read(code: int, body: memoryview) -> Any:
    if code == _INTEGER:
        return int.from_bytes(body, "big", signed=True)
    return _MAKERS[code](_decoder.decode(body))


_decoder = msgspec.msgpack.Decoder(ext_hook=_read)
