"""Formats of values that are no scalars: pickle, JSON, msgpack; what would come back as something else is refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from cachekit.core.codecs import Format
from cachekit.exceptions import MissingExtra, UncacheableValue

PICKLE, JSON, MSGPACK = 1, 2, 3
NUMBERS = {"pickle": PICKLE, "json": JSON, "msgpack": MSGPACK}
NAMES = tuple(NUMBERS)
_SCALARS = frozenset({str, int, float, bool, type(None)})


class Pickle:
    """Whatever pickles; it is signed, since reading a pickle runs code."""

    number = PICKLE
    signed = True

    def __init__(self, protocol: int = pickle.HIGHEST_PROTOCOL) -> None:
        self._protocol = protocol

    def dumps(self, value: Any) -> bytes:
        """Encode. Raises UncacheableValue, naming the type, for what does not pickle."""
        try:
            return pickle.dumps(value, self._protocol)
        except Exception as error:
            raise UncacheableValue(
                f"A value of type {type(value).__qualname__} cannot be pickled ({type(error).__name__}: {error}). "
                "Return plain data instead, for example list(queryset) or a dict."
            ) from error

    def loads(self, body: bytes) -> Any:
        """Decode what was found to be signed."""
        return pickle.loads(body)


class Json:
    """What JSON can say exactly: dicts with text as keys, lists, text, numbers, booleans, None."""

    number = JSON
    signed = False

    def dumps(self, value: Any) -> bytes:
        """Encode. Raises UncacheableValue for all that would come back as something else."""
        try:
            _require_plain(value)
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
            return text.encode()
        except UncacheableValue:
            raise
        except (ValueError, RecursionError) as error:  # NaN, half a character, a list within itself
            raise refusal("JSON", value, f"{type(error).__name__}: {error}") from error

    def loads(self, body: bytes) -> Any:
        """Decode."""
        return json.loads(body.decode())


def refusal(name: str, value: Any, reason: str) -> UncacheableValue:
    """Return the error for what a format does not take."""
    return UncacheableValue(
        f"A value of type {type(value).__qualname__} cannot be kept as {name} ({reason}). "
        "Convert it to what comes back the same, or use codec='pickle' here."
    )


def _require_plain(value: Any) -> None:
    kind = type(value)
    if kind is dict:
        for key in value:
            if type(key) is not str:
                raise refusal("JSON", value, f"it has keys of type {type(key).__qualname__}")
        _require_all(value.values())
    elif kind is list:
        _require_all(value)
    elif kind not in _SCALARS:
        raise refusal("JSON", value, "JSON has no such type")


def _require_all(values: Iterable[Any]) -> None:
    if not _SCALARS.issuperset(map(type, values)):
        for one in values:
            _require_plain(one)


@lru_cache(maxsize=16)
def format_of(name: str, protocol: int = pickle.HIGHEST_PROTOCOL) -> Format:
    """Return a format. Raises ValueError for a name there is not, MissingExtra where its library is missing."""
    if name == "pickle":
        return Pickle(protocol)
    if name == "json":
        return Json()
    if name != "msgpack":
        raise unknown("codec", name, NAMES)
    try:
        from cachekit.core.msgpacks import Msgpack  # noqa: PLC0415 - the extra
    except ImportError as error:
        raise MissingExtra.of("msgpack") from error
    return Msgpack()


def unknown(what: str, name: object, names: Iterable[str]) -> ValueError:
    """Return the error for a name that nothing has."""
    return ValueError(f"There is no {what} {name!r}. {hint(name, names)}")


def hint(name: object, names: Iterable[str]) -> str:
    """Return what somebody meant who wrote a name that nothing has, or what there is."""
    close = get_close_matches(str(name), list(names), n=1)
    return f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(names)}."
