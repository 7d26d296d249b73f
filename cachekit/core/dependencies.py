"""What an entry depends on, as bytes in its envelope, and where in the ledger the points of all that stand.

The bytes are groups of tags of one kind and one family: a byte that says the kind, how the family's name follows from
the one before and how many there are; what is new of the name; and eight bytes for each tag, or a row's number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from cachekit.core.numbers import LONGEST_NUMBER, read_numbers, written_numbers
from cachekit.core.tags import (
    EVERYTHING,
    FREE,
    LONGEST_FAMILY,
    MAX_ROWS,
    NAMED,
    database_of,
    dependency,
    digest,
    for_all,
    parse,
    place_of,
    tenant_of,
)

LONGEST_KEPT = 4096
"""Longer dependencies (bytes) are taken apart each time, for their sum would have no bound."""
_KINDS = "tnrsmfi"
"""By their number in an envelope: tables, named things, rows, slices, members, free tags, rows that have numbers."""
_WITH_DIGESTS = frozenset("rsmf")
_ABOVE = {"t": "{}", "n": "{}", "r": "{}#*", "i": "{}#*", "s": "{}?*"}
"""By kind: the whole thing above a dependency, or which it is itself."""
_SAME, _INNER, _NONE = 2, 3, 7
_WHOLE = (_SAME, _INNER, _NONE)
"""Ways for a name to follow from the one before with nothing to add."""
_PARTLY = (0, 1, 4, 5, 6)
_MANY = 255

Members = set[bytes | int]
Groups = dict[tuple[str, str], Members]


class Layout(NamedTuple):
    """Where the points of an entry's tags stand: fields of the root, and fields of buckets."""

    whole: tuple[bytes, ...]
    places: tuple[tuple[bytes, tuple[bytes, ...]], ...]


class Group(NamedTuple):
    """Tags of one kind and one family: their digests, or the numbers of rows."""

    kind: str
    family: str
    members: tuple[bytes | int, ...]


def encode(tags: Iterable[str]) -> bytes:
    """Write dependencies as they stand in an envelope; the same for any order of tags."""
    return _written(_gathered(tags))


def merge(texts: Iterable[str], blobs: Iterable[bytes], key: str = "") -> bytes:
    """Join dependencies given as text with encoded ones; what the entry's key says of them comes first.

    More than 32 rows or slices of a table are the table.
    """
    groups = _gathered(texts)
    for blob in blobs:
        for kind, family, members in decoded(blob):
            groups.setdefault((kind, family), set()).update(members)
    for kind, family in list(groups):
        if kind in "ris" and _how_many(groups, kind, family) > MAX_ROWS:
            groups["t", family] = set()
    kept = {(k, f): members for (k, f), members in groups.items() if k not in "ris" or ("t", f) not in groups}
    return _written(kept, own(key) if key else b"")


def _how_many(groups: Groups, kind: str, family: str) -> int:
    kinds = "s" if kind == "s" else "ri"
    return sum(len(groups.get((one, family), ())) for one in kinds)


def _gathered(texts: Iterable[str]) -> Groups:
    groups: Groups = {}
    for text in texts:
        for kind, family, members in taken_apart(text):
            groups.setdefault((kind, family), set()).update(members)
    return groups


@lru_cache(maxsize=16384)
def taken_apart(text: str) -> tuple[Group, ...]:
    """Return what a dependency is in an envelope. Raises InvalidTag."""
    tag = dependency(text)
    kind = tag.kind[0]
    if kind == "r" and is_number(rest := tag.text[len(tag.family) + 1 :]):
        return (Group("i", tag.family, (int(rest),)),)
    found = Group(kind, tag.family, (tag.digest,) if tag.digest else ())
    if kind != "f" or tag.family == FREE:
        return (found,)
    shared = digest(for_all(tenant_of(tag.text)[1]))  # of a digest nobody can tell what all tenants call it
    return found, Group("f", for_all(FREE), (shared,))


def is_number(text: str) -> bool:
    """Tell whether a row's key is told exactly by a number."""
    return text.isdecimal() and text.isascii() and len(text) <= LONGEST_NUMBER and (text[0] != "0" or text == "0")


@lru_cache(maxsize=8192)
def own(key: str) -> bytes:
    """Return what an entry with this key depends on by its key alone, as far as that can be told; perhaps nothing.

    The entry of a door depends on the door, that of a function's call on this call, a row's entry on the row.
    """
    door, _, last = key.partition(":e:")[2].rpartition(":")
    kind, _, name = door.partition(":")
    try:
        if kind == "row":
            return _own_row(name.split(":"), last)
        if kind not in NAMED or len(door.encode()) > LONGEST_FAMILY:
            return b""
        calls: Groups = {("m", door): {digest(f"{door}#{last}")}} if kind == "function" else {}
        return _written({**calls, ("n", door): set()})
    except UnicodeEncodeError:  # half a character
        return b""


def _own_row(names: list[str], pk: str) -> bytes:
    family = names[0] if names[-1] == "default" else f"{names[0]}@{names[-1]}"
    if len(family.encode()) > LONGEST_FAMILY:
        return b""
    return _written({("i", family): {int(pk)}} if is_number(pk) else {("r", family): {digest(f"{family}#{pk}")}})


def _written(groups: Mapping[tuple[str, str], Members], first: bytes = b"") -> bytes:
    """Write groups in order; before them those of `first`, if these hold all of it."""
    rest, before = dict(groups), b""
    out: list[bytes] = []
    for kind, family, members in decoded(first):
        held = rest.pop((kind, family), None)
        if held is None or not held.issuperset(members):
            rest, out, before = dict(groups), [], b""
            break
        if left := held.difference(members):
            rest[kind, family] = left
        out, before = [first], family.encode()
    for kind, family in sorted(rest, key=_order):
        name = b"" if family == FREE else family.encode()
        out.append(_group(kind, name, before, rest[kind, family]))
        before = name
    return b"".join(out)


def _order(pair: tuple[str, str]) -> tuple[str, str]:
    return pair[1], pair[0]


def _group(kind: str, name: bytes, before: bytes, members: Members) -> bytes:
    starts, rest = _starts(before), b""
    if not name:
        how = _NONE
    elif name in (before, starts[_INNER]):
        how = _SAME if name == before else _INNER
    else:
        how = max(_PARTLY, key=lambda one: len(starts[one]) if name.startswith(starts[one]) else 0)
        rest = b"%c%b" % (len(name) - len(starts[how]), name[len(starts[how]) :])
    number, count = _KINDS.index(kind) << 5 | how << 2, len(members)
    if not members:
        return b"%c%b" % (number, rest)
    few = count if count < 4 else 0
    many = b"" if few else b"%c" % count if count < _MANY else b"%c%b" % (_MANY, count.to_bytes(4, "big"))
    body = written_numbers(members) if kind == "i" else b"".join(sorted(members))  # type: ignore[arg-type]
    return b"%c%b%b%b" % (number | few, rest, many, body)


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
        yield Group(kind, name.decode() or FREE, members)


def layout(blob: bytes) -> Layout:
    """Return where to look for the points of encoded dependencies, whole things above them included.

    Raises ValueError for bytes that are no dependencies.
    """
    try:
        return _layout(blob) if len(blob) <= LONGEST_KEPT else _layout.__wrapped__(blob)
    except IndexError as error:
        raise ValueError("These bytes are no dependencies.") from error


@lru_cache(maxsize=16384)
def _layout(blob: bytes) -> Layout:
    whole = {EVERYTHING}
    places: dict[bytes, list[bytes]] = {}
    for kind, family, members in decoded(blob):
        mark, inner = tenant_of(family)
        if kind in "tris":
            whole.add(database_of(family))
        if mark:
            whole.add(f"{mark}{EVERYTHING}")
        if mark and kind in "trisn":
            whole.add(for_all(inner))
        if kind in _ABOVE:
            whole.add(_ABOVE[kind].format(family))
        for one in members:
            field = one if isinstance(one, bytes) else digest(f"{family}#{one}")
            places.setdefault(place_of(family, field), []).append(field)
    return Layout(
        tuple(name.encode() for name in sorted(whole)),
        tuple((place, tuple(fields)) for place, fields in sorted(places.items())),
    )


_WORDS = {
    "t": "{}",
    "n": "{}",
    "r": "{} ({} rows)",
    "i": "{} ({} rows)",
    "s": "{} ({} slices)",
    "m": "{} ({} calls)",
    "f": "{1} free tags",
}


def readable(blob: bytes) -> list[str]:
    """Return encoded dependencies for people to read; most rows and slices are digests, so they are counted."""
    return [_WORDS[kind].format(family, len(members)) for kind, family, members in decoded(blob)]


def count(blob: bytes) -> int:
    """Return how many tags encoded dependencies are."""
    return sum(len(members) or 1 for _, _, members in decoded(blob))


def families(blob: bytes) -> set[str]:
    """Return the families (tables, doors, free strings) of encoded dependencies."""
    return {family for _, family, _ in decoded(blob)}


def touches(blob: bytes, targets: Iterable[str]) -> bool:
    """Tell whether invalidating `targets` makes an entry with these dependencies stale."""
    where = layout(blob)
    for text in targets:
        tag = parse(text)
        if not tag.digest:
            if tag.text.encode() in where.whole:
                return True
        elif any(tag.digest in fields for _, fields in where.places):
            return True
    return False
