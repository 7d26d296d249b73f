"""Make keys from arguments: framed, so that no two different calls share one."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from types import FunctionType
from typing import Any

from cachekit.exceptions import InvalidKey

MAX_LENGTH = 512
_PLAIN = (int, float, str, bytes, bool, type(None), complex)
_SHORT = {kind: b"%b(%%d)%%b" % kind.__name__.encode() for kind in (int, str, bool, type(None))}
"""How the commonest are framed, by exact type."""
EXACT = frozenset({int, str, bytes, bool, type(None), uuid.UUID})
"""Types whose values are equal only where they make the same key, if their types are the same."""
LONGEST = 200
"""Longer texts and numbers are not remembered."""
_NAMED: list[Any] = [type, FunctionType]
"""Kinds of what is called by its name, unless it was made inside a function."""
_TEXTUAL = (decimal.Decimal, uuid.UUID, datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo)


def fingerprint(*parts: Any) -> str:
    """Return 22 letters, digits, `-` and `_` that stand for these values and no others. Raises InvalidKey."""
    return shortened(b"".join(framed(part) for part in parts))


def shortened(told: bytes) -> str:
    """Like `fingerprint`, of bytes."""
    return urlsafe_b64encode(blake2b(told, digest_size=16).digest())[:22].decode()


def know_named(kind: type) -> None:
    """Have instances of a further class called by their names: `__module__` and `__qualname__`."""
    _NAMED.append(kind)


def is_short(value: Any) -> bool:
    """Tell whether a value of an exact type is small enough to be remembered."""
    if isinstance(value, (str, bytes)):
        return len(value) <= LONGEST
    return not isinstance(value, int) or value.bit_length() <= LONGEST


def framed(value: Any) -> bytes:
    """Encode a value with its type and length, so that ("a:b", "c") and ("a", "b:c") differ."""
    known = _SHORT.get(type(value))
    if known is not None:
        body = str(value).encode("utf-8", "surrogatepass")
        return known % (len(body), body)
    kind, body = _encoded(value)
    return b"%b(%d)%b" % (kind.encode(), len(body), body)


def _encoded(value: Any) -> tuple[str, bytes]:
    for recognise in (_scalar, _container, _instance):
        found = recognise(value)
        if found is not None:
            return found
    raise InvalidKey(
        f"No cache key can be made from a {type(value).__module__}.{type(value).__qualname__}, only from text, "
        "numbers, dates, saved instances of models, and lists, sets and dicts of these."
    )


def _scalar(value: Any) -> tuple[str, bytes] | None:
    kind = type(value)
    if kind in _PLAIN:
        return kind.__name__, value if kind is bytes else str(value).encode("utf-8", "surrogatepass")
    if isinstance(value, enum.Enum):
        return f"{kind.__module__}.{kind.__qualname__}", value.name.encode()
    if isinstance(value, _TEXTUAL):
        return kind.__name__, repr(value).encode()  # str() hides zones and folds
    if isinstance(value, str):  # text marked as safe HTML is another argument than the same text unmarked
        return kind.__name__, str(value).encode("utf-8", "surrogatepass")
    if isinstance(value, int):
        return kind.__name__, str(int(value)).encode()
    return None


def _container(value: Any) -> tuple[str, bytes] | None:
    if isinstance(value, (list, tuple)):
        return type(value).__name__, _joined(framed(item) for item in value)
    if isinstance(value, Mapping):
        items = getattr(value, "lists", value.items)()  # a QueryDict holds more than its items
        return "map", _joined(sorted(framed(key) + framed(item) for key, item in items))
    if isinstance(value, (set, frozenset)):
        return "set", _joined(sorted(framed(item) for item in value))
    return None


def _instance(value: Any) -> tuple[str, bytes] | None:
    """Recognise model instances (by table and primary key), classes and module-level functions (by name)."""
    meta = getattr(value, "_meta", None)
    if isinstance(value, tuple(_NAMED)) and "<" not in (name := getattr(value, "__qualname__", "<")):
        return "name", f"{value.__module__}.{name}".encode()
    if getattr(value, "is_anonymous", False) is True:  # a visitor whom Django's auth does not know
        return "anonymous", b""
    if isinstance(value, type) or meta is None or not hasattr(meta, "label_lower"):
        return None
    if value.pk is None:
        raise InvalidKey(f"An unsaved {meta.label} has no primary key to make a cache key from. Save it first.")
    database = getattr(getattr(value, "_state", None), "db", None) or ""
    return "row", framed(meta.label_lower) + framed(database) + framed(value.pk)


def _joined(pieces: Iterable[bytes]) -> bytes:
    return b"".join(pieces)


def checked(key: str, name: Callable[[], str]) -> str:
    """Return a key that a user made. Raises InvalidKey when it is not text or longer than 512 characters."""
    if not isinstance(key, str):
        raise InvalidKey(f"The key of {name()} must be a string, not {type(key).__name__}.")
    if len(key) > MAX_LENGTH:
        raise InvalidKey(
            f"The key of {name()} has {len(key):,} characters; {MAX_LENGTH} are allowed. Hash what is long."
        )
    return key
