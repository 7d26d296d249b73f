"""Groups of tags as bytes: of one kind and one family each.

A byte says the kind, how the family's name follows from the one before and how many tags there are; then comes what is
new of the name, and eight bytes for each tag, or a row's number. What an entry's key says of its tags comes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from cachekit.core.numbers import LONGEST_NUMBER, read_numbers, written_numbers
from cachekit.core.tags import FREE, LONGEST_FAMILY, NAMED, digest

_KINDS = "tnrsmfi"
"""By their number in an envelope: tables, named things, rows, slices, members, free tags, rows that have numbers."""
_SAME, _INNER, _NONE = 2, 3, 7
_WHOLE = (_SAME, _INNER, _NONE)
"""Ways for a name to follow from the one before with nothing to add."""
_PARTLY = (0, 1, 4, 5, 6)
_MANY = 255
_DOOR = _KINDS.index("n") << 5
_CALL, _ROW, _NUMBERED = (_KINDS.index(kind) << 5 | 1 for kind in "mri")
"""How groups begin that stand first, with one member."""

Members = set[bytes | int]
Groups = dict[tuple[str, str], Members]

Group = tuple[str, str, tuple[bytes | int, ...]]
"""Tags of one kind and one family: their digests, or the numbers of rows."""


def is_number(text: str) -> bool:
    """Tell whether a row's key is told exactly by a number."""
    return text.isdecimal() and text.isascii() and len(text) <= LONGEST_NUMBER and (text[0] != "0" or text == "0")


@lru_cache(maxsize=8192)
def own(key: str) -> bytes:
    """Return what an entry with this key depends on by its key alone, as far as that can be told; perhaps nothing.

    The entry of a door depends on the door, that of a function's call on this call, a row's entry on the row. Whoever
    changes what this returns must change the format of entries too.
    """
    door, _, last = key.partition(":e:")[2].rpartition(":")
    kind, _, name = door.partition(":")
    try:
        if kind == "row":
            return _own_row(name.split(":"), last)
        family = door.encode()
        if kind not in NAMED or len(family) > LONGEST_FAMILY:
            return b""
        if kind == "function":
            return b"%c%c%b%b%c" % (_CALL, len(family), family, digest(f"{door}#{last}"), _DOOR | _SAME << 2)
        return b"%c%c%b" % (_DOOR, len(family), family)
    except UnicodeEncodeError:  # half a character
        return b""


def _own_row(names: list[str], pk: str) -> bytes:
    text = names[0] if names[-1] == "default" else f"{names[0]}@{names[-1]}"
    family = text.encode()
    if len(family) > LONGEST_FAMILY:
        return b""
    if is_number(pk):
        return b"%c%c%b%b" % (_NUMBERED, len(family), family, written_numbers((int(pk),)))
    return b"%c%c%b%b" % (_ROW, len(family), family, digest(f"{text}#{pk}"))


def written(groups: Groups, first: bytes = b"") -> bytes:
    """Write groups in order; before them those of `first`, if these hold all of it."""
    rest, out, before = groups, b"", ""
    if first and (left := _without(groups, first)) is not None:
        rest, before = left
        out = first
    for kind, family in sorted(rest, key=_order):
        out += _group(kind, family, before, rest[kind, family])
        before = family
    return out


def _without(groups: Groups, first: bytes) -> tuple[Groups, str] | None:
    """Return what groups hold beside encoded ones, and the last family of these; None if they do not hold all."""
    rest, before = groups.copy(), ""
    for kind, family, members in decoded(first):
        held = rest.pop((kind, family), None)
        if held is None or not held.issuperset(members):
            return None
        if len(held) > len(members):
            rest[kind, family] = held.difference(members)
        before = family
    return rest, before


def _order(pair: tuple[str, str]) -> tuple[str, str]:
    return pair[1], pair[0]


def _group(kind: str, family: str, before: str, members: Members) -> bytes:
    first, name = _begun(kind, family, before)
    count = len(members)
    if not count:
        return b"%c%b" % (first, name)
    body = written_numbers(members) if kind == "i" else b"".join(sorted(members))  # type: ignore[arg-type]
    if count < 4:
        return b"%c%b%b" % (first | count, name, body)
    many = b"%c" % count if count < _MANY else b"%c%b" % (_MANY, count.to_bytes(4, "big"))
    return b"%c%b%b%b" % (first, name, many, body)


@lru_cache(maxsize=4096)
def _begun(kind: str, family: str, before: str) -> tuple[int, bytes]:
    """Return the first byte of a group behind another family's, and what is new of its name."""
    number, name = _KINDS.index(kind) << 5, family.encode()
    if family == FREE:
        return number | _NONE << 2, b""
    starts = _starts(b"" if before == FREE else before.encode())
    for how in (_SAME, _INNER):
        if name == starts[how]:
            return number | how << 2, b""
    how = max(_PARTLY, key=lambda one: len(starts[one]) if name.startswith(starts[one]) else 0)
    new = name[len(starts[how]) :]
    return number | how << 2, b"%c%b" % (len(new), new)


@lru_cache(maxsize=4096)
def _starts(before: bytes) -> tuple[bytes, ...]:
    """Return how a name may begin after this one, by the number of the way; `_SAME` and `_INNER` are all of it."""
    inner = before.partition(b":")[2]
    return (
        b"",
        before[: before.find(b".") + 1],
        before,
        inner,
        inner[: inner.find(b".") + 1],
        before[: before.rfind(b".") + 1],
        before[: before.find(b":") + 1],
        b"",
    )


def decoded(blob: bytes) -> Iterator[Group]:
    """Yield the groups of encoded dependencies. Raises ValueError or IndexError for bytes that are none."""
    at, name, size = 0, b"", len(blob)
    while at < size:
        first = blob[at]
        kind, how, count = _KINDS[first >> 5], first >> 2 & 7, first & 3
        name, at = _starts(name)[how], at + 1
        if how not in _WHOLE:
            end = at + 1 + blob[at]
            name, at = name + blob[at + 1 : end], end
        members: tuple[bytes | int, ...] = ()
        if kind in "tn":
            at += count * (size + 1)  # it has no members
        else:
            if not count:
                count, at = blob[at], at + 1
                if count == _MANY:
                    count, at = int.from_bytes(blob[at : at + 4], "big"), at + 4
            if kind == "i":
                members, at = read_numbers(blob, at, count)
            elif at + 8 * count <= size:
                members, at = tuple([blob[n : n + 8] for n in range(at, at + 8 * count, 8)]), at + 8 * count
            else:
                at = size + 1
        if at > size:
            raise ValueError("These bytes are no dependencies: they end too early.")
        yield kind, name.decode() or FREE, members
