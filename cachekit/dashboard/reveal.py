"""Print a stored value without trusting it: looking at a value never runs code and never imports any."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import pickle
import pickletools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

SHOWN_BYTES = 64 * 1024
"""So much of a value is printed."""
READ_BYTES = 256 * 1024
"""A larger pickle is not taken apart: half a pickle means nothing, and a whole one costs too much."""
SHOWN_PIECES = 10_000
"""So many pieces of a nested value are printed; a pickle of 100 bytes can stand for a thousand million."""

HARMLESS = {
    ("datetime", "date"): datetime.date,
    ("datetime", "datetime"): datetime.datetime,
    ("datetime", "time"): datetime.time,
    ("datetime", "timedelta"): datetime.timedelta,
    ("datetime", "timezone"): datetime.timezone,
    ("decimal", "Decimal"): decimal.Decimal,
    ("django.utils.safestring", "SafeString"): str,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
}


class Shown(NamedTuple):
    """A value as text, how it was read, and whether something was left out."""

    how: str
    text: str
    cut: bool


class Stand:
    """Stands for an object of a class that is not loaded: it keeps what the pickle says and does nothing."""

    path = ""

    def __new__(cls, *args: object, **kwargs: object) -> Stand:
        """Keep the arguments; no initialiser runs."""
        made = object.__new__(cls)
        made.__dict__["parts"] = [*args, *kwargs.items()]
        return made

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.__dict__["parts"].append(state)

    def __setitem__(self, key: object, value: object) -> None:
        self.__dict__["parts"].append((key, value))

    def append(self, value: object) -> None:
        """Keep an item of a list-like object."""
        self.__dict__["parts"].append(value)

    def extend(self, values: list[object]) -> None:
        """Keep the items of a list-like object."""
        self.__dict__["parts"].extend(values)

    def add(self, value: object) -> None:
        """Keep an item of a set-like object."""
        self.__dict__["parts"].append(value)


class Viewer(pickle.Unpickler):
    """Read a pickle's structure; every class but a few harmless ones becomes a `Stand`: none is looked up."""

    known: Mapping[tuple[str, str], type] = HARMLESS

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in that remembers the name."""
        return self.known.get((module, name)) or type("Stand", (Stand,), {"path": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Any:
        """Return a stand-in for something kept elsewhere."""
        return type("Stand", (Stand,), {"path": "persistent"})(pid)


class Stranger(Viewer):
    """Trust not even the harmless classes: old protocols give them arguments which are stand-ins themselves."""

    known: Mapping[tuple[str, str], type] = {}


def show(data: bytes) -> Shown:
    """Print raw bytes: as a number, as JSON, as text, else as a hex dump."""
    head = data[:SHOWN_BYTES]
    try:
        text = head.decode("utf-8") if len(head) == len(data) else head.decode("utf-8", "ignore")
    except UnicodeDecodeError:
        return Shown("hex", hexdump(head[: SHOWN_BYTES // 4]), len(data) > SHOWN_BYTES // 4)
    if not text.isprintable() and any(ord(char) < 32 and char not in "\t\r\n" for char in text):
        return Shown("hex", hexdump(head[: SHOWN_BYTES // 4]), len(data) > SHOWN_BYTES // 4)
    if len(head) < len(data):
        return Shown("text", text, True)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return Shown("text", text, False)
    if isinstance(value, int):
        return Shown("integer", text, False)
    return Shown("json", *_cut(json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value)))


def show_pickle(data: bytes) -> Shown:
    """Print a pickle's structure, without any of its classes; what cannot be read safely is a hex dump."""
    if len(data) > READ_BYTES or not _plain(data):
        return Shown("hex", hexdump(data[: SHOWN_BYTES // 4]), len(data) > SHOWN_BYTES // 4)
    for viewer in (Viewer, Stranger):
        try:
            value = viewer(io.BytesIO(data)).load()
        except Exception:  # noqa: BLE001, S112 - a stream of opcodes can fail in any way: it is unreadable
            continue
        return Shown("pickle", *_cut([value[: SHOWN_BYTES + 1]] if isinstance(value, str) else _walk(value, 0)))
    return Shown("hex", hexdump(data[: SHOWN_BYTES // 4]), len(data) > SHOWN_BYTES // 4)


def show_page(data: bytes) -> Shown:
    """Print a response as it is kept: status, headers, the body's start; what is none as the bytes it is."""
    size, _, rest = data.partition(b"\n")
    if not size.isdigit() or int(size) > len(rest):
        return show(data)
    status, reason, *lines = rest[: int(size)].decode("utf-8", "replace").split("\n")
    headers = [f"{name}: {value}" for name, value in zip(lines[::2], lines[1::2], strict=False)]
    body = rest[int(size) :].decode("utf-8", "replace")
    return Shown("page", *_cut(["\n".join([f"{status} {reason}", *headers, "", ""]), body]))


def show_value(value: object) -> Shown:
    """Print a value of plain types."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Shown("integer", *_cut(_walk(value, 0)))
    return Shown("value", *_cut(_walk(value, 0)))


def _plain(data: bytes) -> bool:
    """Refuse the two opcodes a viewer cannot answer for: registered extensions, and a memo larger than the pickle."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name.startswith("EXT") or (opcode.name.endswith("PUT") and int(argument or 0) > len(data)):
                return False
    except Exception:  # noqa: BLE001 - as above
        return False
    return True


def hexdump(data: bytes) -> str:
    """Print sixteen bytes a line, with offset and the printable characters."""
    lines = []
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<47}  {text}")
    return "\n".join(lines)


def _cut(pieces: Iterable[str]) -> tuple[str, bool]:
    """Join the pieces of a printed value until either bound is reached."""
    parts: list[str] = []
    size = 0
    for count, part in enumerate(pieces):
        size += len(part)
        if size > SHOWN_BYTES or count > SHOWN_PIECES:
            return "".join(parts) + part[: max(0, SHOWN_BYTES - size + len(part))] + "…", True
        parts.append(part)
    return "".join(parts), False


def _walk(value: object, depth: int) -> Iterator[str]:
    if depth > 24:
        yield "…"
    elif isinstance(value, Stand):
        yield f"<{value.path}"
        yield from _members(value.__dict__["parts"], "", ">", depth)
    elif isinstance(value, Mapping):
        yield from _pairs(value, depth)
    elif isinstance(value, list | tuple | set | frozenset):
        opening, closing = _BRACKETS.get(type(value), ("(", ")"))
        yield from _members(value, opening, closing, depth)
    elif isinstance(value, type) and issubclass(value, Stand):
        yield f"<class {value.path}>"
    elif isinstance(value, str | bytes | bytearray):
        yield repr(value[: SHOWN_BYTES + 1])
    elif isinstance(value, int) and value.bit_length() > 4_096:
        yield f"an integer of {value.bit_length()} bits"
    else:
        yield repr(value)


_BRACKETS = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"), frozenset: ("frozenset({", "})")}


def _members(values: Any, opening: str, closing: str, depth: int) -> Iterator[str]:
    yield opening
    for value in values:
        yield "\n" + "  " * (depth + 1)
        yield from _walk(value, depth + 1)
        yield ","
    yield ("\n" + "  " * depth if values else "") + closing


def _pairs(value: Mapping[Any, Any], depth: int) -> Iterator[str]:
    yield "{"
    for key, item in value.items():
        yield "\n" + "  " * (depth + 1)
        yield from _walk(key, depth + 1)
        yield ": "
        yield from _walk(item, depth + 1)
        yield ","
    yield ("\n" + "  " * depth if value else "") + "}"
