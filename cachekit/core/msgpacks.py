"""Msgpack, with extensions for the Python types that rows hold, so that each comes back as what it was."""

from __future__ import annotations

import datetime
import decimal
import struct
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from cachekit.core.formats import MSGPACK, refusal
from cachekit.exceptions import UncacheableValue

_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})
_encoder = msgspec.msgpack.Encoder()


class Msgpack:
    """What msgpack can say exactly, with tuples, sets, decimals, UUIDs, dates, times and greater integers."""

    number = MSGPACK
    signed = False

    def dumps(self, value: Any) -> bytes:
        """Encode. Raises UncacheableValue for all that would come back as something else."""
        try:
            return _nested(value)
        except UncacheableValue:
            raise
        except (ValueError, RecursionError, OverflowError, TypeError) as error:
            raise refusal("msgpack", value, f"{type(error).__name__}: {error}") from error

    def loads(self, body: bytes) -> Any:
        """Decode."""
        return _decoder.decode(body)


def _exact(value: Any) -> Any:
    """Return a value that msgpack writes so that it comes back the same; most are already."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list:
        if _PLAIN.issuperset(map(type, value)):
            return value
        return [one if type(one) in _PLAIN else _exact(one) for one in value]
    if kind is dict:
        if not _PLAIN.issuperset(map(type, value)):
            raise refusal("msgpack", value, "its keys are not all text, bytes or numbers")
        if _PLAIN.issuperset(map(type, value.values())):
            return value
        return {key: one if type(one) in _PLAIN else _exact(one) for key, one in value.items()}
    write = _WRITERS.get(kind)
    if write is None:
        raise refusal("msgpack", value, "msgpack has no such type")
    return Ext(*write(value))


def _with_integers(value: Any) -> Any:
    """Return a value with all integers beyond 64 bits as extensions."""
    kind = type(value)
    if kind is int and not -(2**63) <= value < 2**63:
        return Ext(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
    if kind is list:
        return [_with_integers(one) for one in value]
    if kind is dict:
        if any(type(key) is int and not -(2**63) <= key < 2**63 for key in value):
            raise refusal("msgpack", value, "a key has more than 64 bits")
        return {key: _with_integers(one) for key, one in value.items()}
    return value


# Extensions: their numbers stay for ever

_TUPLE, _SET, _FROZENSET, _DECIMAL, _UUID, _DATE, _MOMENT, _UTC, _ZONED, _TIME, _SPAN, _INTEGER = range(1, 13)
_DATE_FORM, _TIME_FORM, _SPAN_FORM = struct.Struct(">HBB"), struct.Struct(">BBBIB"), struct.Struct(">iII")
_MOMENT_FORM = struct.Struct(">HBBBBBIB")


def _nested(value: Any) -> bytes:
    try:
        return _encoder.encode(_exact(value))
    except OverflowError:
        return _encoder.encode(_with_integers(_exact(value)))


def _moment_written(one: datetime.datetime) -> tuple[int, bytes]:
    numbers = (one.year, one.month, one.day, one.hour, one.minute, one.second, one.microsecond, one.fold)
    state, zone = _MOMENT_FORM.pack(*numbers), one.tzinfo
    if zone is None or zone is datetime.UTC:
        return _MOMENT if zone is None else _UTC, state
    return _ZONED, _nested([state, _zone_parts(zone)])


def _moment(state: Any, zone: datetime.tzinfo | None) -> datetime.datetime:
    *numbers, fold = _MOMENT_FORM.unpack(state)
    kind: Any = datetime.datetime
    moment: datetime.datetime = kind(*numbers, zone, fold=fold)
    return moment


def _zoned(body: memoryview) -> datetime.datetime:
    state, parts = _decoder.decode(body)
    return _moment(state, _zone(parts))


def _time_written(one: datetime.time) -> tuple[int, bytes]:
    state = _TIME_FORM.pack(one.hour, one.minute, one.second, one.microsecond, one.fold)
    return _TIME, _nested([state, None if one.tzinfo is None else _zone_parts(one.tzinfo)])


def _time(body: memoryview) -> datetime.time:
    state, parts = _decoder.decode(body)
    *numbers, fold = _TIME_FORM.unpack(state)
    kind: Any = datetime.time
    time: datetime.time = kind(*numbers, None if parts is None else _zone(parts), fold=fold)
    return time


def _zone_parts(zone: datetime.tzinfo) -> Any:
    if type(zone) is zoneinfo.ZoneInfo and zone.key:
        return zone.key
    if type(zone) is datetime.timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]  # what it pickles by
        return [_span_written(offset)[1], *name]
    raise refusal("msgpack", zone, "msgpack has no such time zone")


def _zone(parts: Any) -> datetime.tzinfo:
    if isinstance(parts, str):
        return zoneinfo.ZoneInfo(parts)
    offset, *name = parts
    return datetime.timezone(_span(offset), *name)


def _span_written(span: datetime.timedelta) -> tuple[int, bytes]:
    return _SPAN, _SPAN_FORM.pack(span.days, span.seconds, span.microseconds)


def _span(body: Any) -> datetime.timedelta:
    return datetime.timedelta(*_SPAN_FORM.unpack(body))


_WRITERS: dict[type, Callable[[Any], tuple[int, bytes]]] = {
    tuple: lambda one: (_TUPLE, _nested(list(one))),
    set: lambda one: (_SET, _nested(list(one))),
    frozenset: lambda one: (_FROZENSET, _nested(list(one))),
    decimal.Decimal: lambda one: (_DECIMAL, str(one).encode()),
    uuid.UUID: lambda one: (_UUID, one.bytes),
    datetime.date: lambda one: (_DATE, _DATE_FORM.pack(one.year, one.month, one.day)),
    datetime.datetime: _moment_written,
    datetime.time: _time_written,
    datetime.timedelta: _span_written,
}
_READERS: dict[int, Callable[[memoryview], Any]] = {
    _TUPLE: lambda body: tuple(_decoder.decode(body)),
    _SET: lambda body: set(_decoder.decode(body)),
    _FROZENSET: lambda body: frozenset(_decoder.decode(body)),
    _DECIMAL: lambda body: decimal.Decimal(str(body, "ascii")),
    _UUID: lambda body: uuid.UUID(bytes=bytes(body)),
    _DATE: lambda body: datetime.date(*_DATE_FORM.unpack(body)),
    _MOMENT: lambda body: _moment(body, None),
    _UTC: lambda body: _moment(body, datetime.UTC),
    _ZONED: _zoned,
    _TIME: _time,
    _SPAN: _span,
    _INTEGER: lambda body: int.from_bytes(body, "big", signed=True),
}
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(ext_hook=lambda code, body: _READERS[code](body))
