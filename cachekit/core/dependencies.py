"""What an entry depends on: as bytes in its envelope, as places in the ledger, and for people to read."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from cachekit.core import tags
from cachekit.core.groups import Group, Groups, decoded, is_number, own, written
from cachekit.core.interning import one_of
from cachekit.core.tags import (
    EVERYTHING,
    FREE,
    MAX_ROWS,
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
_ABOVE = {"t": "{}", "n": "{}", "r": "{}#*", "i": "{}#*", "s": "{}?*"}
"""By kind: the whole thing above a dependency, or which it is itself."""


class Layout(NamedTuple):
    """Where the points of an entry's tags stand: fields of the root, and fields of buckets."""

    whole: tuple[bytes, ...]
    places: tuple[tuple[bytes, tuple[bytes, ...]], ...]


def encode(texts: Iterable[str]) -> bytes:
    """Write dependencies as they stand in an envelope; the same for any order of tags."""
    return written(_gathered(texts))


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
    return written(kept, own(key) if key else b"")


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
        return (("i", tag.family, (int(rest),)),)
    found: Group = kind, tag.family, (tag.digest,) if tag.digest else ()
    if kind != "f" or tag.family == FREE:
        return (found,)
    shared = digest(for_all(tenant_of(tag.text)[1]))  # of a digest nobody can tell what all tenants call it
    return found, ("f", for_all(FREE), (shared,))


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
    whole: set[bytes] = set()
    places: dict[bytes, list[bytes]] = {}
    for kind, family, members in decoded(blob):
        whole.update(_above(kind, family))
        if members:
            buckets = _buckets(family)
            start = f"{family}#".encode()
            for one in members:
                field = one if isinstance(one, bytes) else blake2b(b"%b%d" % (start, one), digest_size=8).digest()
                places.setdefault(buckets[field[0] % len(buckets)], []).append(field)
    return Layout(
        one_of(tuple(sorted(whole or {EVERYTHING.encode()}))),
        tuple([(place, tuple(fields)) for place, fields in sorted(places.items())]),
    )


@lru_cache(maxsize=4096)
def _above(kind: str, family: str) -> tuple[bytes, ...]:
    """Return the whole things above the tags of a group."""
    mark, inner = tenant_of(family)
    names = [EVERYTHING]
    if kind in "tris":
        names.append(database_of(family))
    if mark:
        names.append(f"{mark}{EVERYTHING}")
    if mark and kind in "trisn":
        names.append(for_all(inner))
    if kind in _ABOVE:
        names.append(_ABOVE[kind].format(family))
    return tuple(name.encode() for name in names)


@lru_cache(maxsize=512)
def _buckets(family: str) -> tuple[bytes, ...]:
    return tuple([place_of(family, bytes((number,))) for number in range(tags.BUCKETS)])


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
