"""Tags: what entries depend on and writes invalidate, as text, as bytes in an envelope, as places in the ledger.

=====================  =============================================================================
`shop.product`         any change to the table
`shop.product#42`      row 42
`shop.product?cut=3`   the rows with that value of a declared index
`shop.product#*`       every row, `shop.product?*` every slice: written where a write cannot say which
`db:default`           everything read from that database, `*` everything: written, never depended on
`homepage`             a free string
`function:shop.top`    everything of a door: of a function, a view, a fragment, a query
`function:shop.top#…`  one call of it
`table:django_cache`   a table that no model has
=====================  =============================================================================

A table of another database than `default` carries its alias: `shop.product@archive#42`. What belongs to one tenant
carries the tenant's name in front: `[acme]shop.product#42`, `[acme]*`; `[*]shop.product` is written for all tenants.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from cachekit.core.interning import one_of
from cachekit.exceptions import InvalidTag

BUCKETS = 64
_ABOVE = {"t": "{}", "n": "{}", "r": "{}#*", "s": "{}?*"}
"""By kind: the whole thing above a dependency, or which it is itself."""
MAX_LENGTH = 250
MAX_ROWS = 32
LONGEST_KEPT = 4096
"""Longer dependencies (bytes) are taken apart each time, for their sum would have no bound."""
FREE = "~"
EVERYTHING = "*"
TABLE = "table:"
TENANT_LETTERS = r"A-Za-z0-9_.\-"
RAW = "\x1f"
"""In a line of the outbox, between the start of a tag and a value as the database writes it."""
LONGEST_FAMILY = 255
"""An envelope gives one byte to the length of a family's name."""
_KINDS = "tnrsmf"
"""Kinds by their number in an envelope."""
_WITH_DIGESTS = frozenset("rsmf")
_MOST_ALIKE, _MANY = 31, 255

_TABLE = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*(@[\w-]+)?")
_LABEL = re.compile(r"^[A-Za-z_]\w*\.[A-Za-z_]\w*(?=$|[@#?])")
_MODEL_TAG = re.compile(rf"(?P<family>{_TABLE.pattern})(?P<kind>[#?])(?P<rest>.+)")
_TENANT = re.compile(rf"(\[(?:[{TENANT_LETTERS}]{{1,63}}|\*)\])(.+)")
_BARE = re.compile(rf"{TABLE}[^#?]+")
_NAMED = re.compile(r"(?P<family>(?:function|view|fragment|query|backend):[^#]+)(?:#(?P<rest>.+))?")
_UNFIT = re.compile(r"[\s\x00-\x1f\x7f\ud800-\udfff]")


class Tag(NamedTuple):
    """One tag, taken apart: the family whose buckets hold its point (or none), and the name of a whole thing."""

    text: str
    kind: str
    """`table`, `row`, `slice`, `free`, `named`, `member`; `whole` can be invalidated but not depended on."""
    family: str
    digest: bytes


class Layout(NamedTuple):
    """Where the points of an entry's tags stand: fields of the root, and fields of buckets."""

    whole: tuple[bytes, ...]
    places: tuple[tuple[bytes, tuple[bytes, ...]], ...]


def digest(text: str) -> bytes:
    """Return eight bytes that stand for a tag in buckets and envelopes; a collision only makes a miss."""
    return blake2b(text.encode(), digest_size=8).digest()


@lru_cache(maxsize=16384)
def parse(text: str) -> Tag:
    """Take a tag apart. Raises InvalidTag when it is empty, too long, or holds white space."""
    if not isinstance(text, str):
        raise InvalidTag(
            f"A tag is a string, not {type(text).__name__}: {text!r}. Pass a model or an instance to invalidate()."
        )
    if match := _TENANT.fullmatch(text):
        return _of_tenant(match[1], parse(match[2]))
    if not text or len(text) > MAX_LENGTH or len(text.encode("utf-8", "replace")) > MAX_LENGTH:
        raise InvalidTag(f"A tag has 1 to {MAX_LENGTH} bytes, this one has {len(text):,} characters: {text[:40]!r}")
    if _UNFIT.search(text):
        proposal = _UNFIT.sub("-", text.strip()) or "-"
        raise InvalidTag(
            f"Tag {text!r} holds white space, a control character or half of one. Write it as {proposal!r}."
        )
    return _taken_apart(text)


def _taken_apart(text: str) -> Tag:
    if text == EVERYTHING or text.startswith("db:"):
        return Tag(text, "whole", text, b"")
    text = _LABEL.sub(lambda label: label[0].lower(), text)  # "shop.Product" is how Django writes it
    if _TABLE.fullmatch(text) or _BARE.fullmatch(text):
        return Tag(text, "table", text, b"")
    if match := _MODEL_TAG.fullmatch(text):
        if match["rest"] == "*":
            return Tag(text, "whole", text, b"")
        return Tag(text, "row" if match["kind"] == "#" else "slice", match["family"], digest(text))
    if match := _NAMED.fullmatch(text):
        member = match["rest"] is not None
        return Tag(text, "member" if member else "named", one_of(match["family"]), digest(text) if member else b"")
    return Tag(text, "free", FREE, digest(text))


def _of_tenant(mark: str, inner: Tag) -> Tag:
    family, text = f"{mark}{inner.family}", f"{mark}{inner.text}"
    if inner.text.startswith(("db:", "[", TABLE)):
        raise InvalidTag(f"{inner.text!r} belongs to no tenant. Write it without {mark!r}.")
    if len(family) > LONGEST_FAMILY:
        raise InvalidTag(
            f"The name of {text[:60]!r}… is too long ({len(family)} characters). Shorten the tenant's name."
        )
    return Tag(text, inner.kind, family, digest(text) if inner.digest else b"")


def tenant_of(text: str) -> tuple[str, str]:
    """Return the tenant's mark before a tag or a family, such as `[acme]`, or nothing, and what stands behind it."""
    match = _TENANT.fullmatch(text)
    return (match[1], match[2]) if match else ("", text)


def for_all(text: str) -> str:
    """Return the tag through which every tenant hears of this one."""
    return f"[*]{text}"


def dependency(text: str) -> Tag:
    """Like `parse`, for something to depend on. Raises InvalidTag for `*`, `db:…`, `…#*` and `…?*`."""
    tag = parse(text)
    if tag.kind == "whole":
        raise InvalidTag(
            f"{text!r} can be invalidated but not depended on. Depend on a table, a row, a slice or a free tag."
        )
    return tag


def database_of(family: str) -> str:
    """Return the database tag above a table."""
    return f"db:{family.partition('@')[2] or 'default'}"


def place_of(family: str, digest_: bytes) -> bytes:
    """Return the name of the bucket that holds a digest's point."""
    return one_of(f"{family}:{digest_[0] % BUCKETS}".encode())


def encode(tags: Iterable[str]) -> bytes:
    """Write dependencies as they stand in an envelope: kind, family, digests; the same for any order of tags."""
    groups: dict[tuple[str, str], set[bytes]] = {}
    for text in tags:
        tag = dependency(text)
        groups.setdefault((tag.kind[0], tag.family), set()).update({tag.digest} - {b""})
        if tag.kind == "free" and tag.family != FREE:  # of a digest nobody can tell what all tenants call it
            shared = for_all(tenant_of(text)[1])
            groups.setdefault(("f", for_all(FREE)), set()).add(digest(shared))
    return _written(groups)


def _written(groups: Mapping[tuple[str, str], set[bytes]]) -> bytes:
    """Write groups in order: kind and how many bytes the name shares with the one before, the rest of it, digests."""
    out, before = [], b""
    for (kind, family), digests in sorted(groups.items()):
        name = b"" if family == FREE else family.encode()
        app = name if name == before else name[: name.find(b".") + 1]
        alike = min(len(app), _MOST_ALIKE) if before.startswith(app) else 0
        out.append(b"%c%c%b" % (_KINDS.index(kind) << 5 | alike, len(name) - alike, name[alike:]))
        if kind in _WITH_DIGESTS:
            fields = b"".join(sorted(digests))
            count = len(fields) // 8
            out.append((b"%c" % count if count < _MANY else b"%c%b" % (_MANY, count.to_bytes(4, "big"))) + fields)
        before = name
    return b"".join(out)


def merge(texts: Iterable[str], blobs: Iterable[bytes]) -> bytes:
    """Join dependencies given as text with encoded ones; more than 32 rows or slices of a table are the table."""
    groups: dict[tuple[str, str], set[bytes]] = {}
    for blob in (encode(texts), *blobs):
        for kind, family, digests in _decoded(blob):
            groups.setdefault((kind, family), set()).update(digests)
    for kind, family in list(groups):
        if kind in "rs" and len(groups[kind, family]) > MAX_ROWS:
            groups["t", family] = set()
    return _written({(k, f): d for (k, f), d in groups.items() if k not in "rs" or ("t", f) not in groups})


class _Group(NamedTuple):
    """Where a family stands in encoded dependencies."""

    kind: str
    name: bytes
    start: int
    """Where the part of its name begins that is written out."""
    fields: int
    """Where its digests begin."""
    many: int


def _groups(blob: bytes) -> Iterable[_Group]:
    at, name = 0, b""
    while at < len(blob):
        kind, alike, length = _KINDS[blob[at] >> 5], blob[at] & _MOST_ALIKE, blob[at + 1]
        start = at + 2
        name, at, count = name[:alike] + blob[start : start + length], start + length, 0
        if kind in _WITH_DIGESTS:
            count, at = blob[at], at + 1
        if count == _MANY:
            count, at = int.from_bytes(blob[at : at + 4], "big"), at + 4
        if len(name) != alike + length or len(blob) < at + 8 * count:
            raise ValueError("These bytes are no dependencies: they end too early.")
        yield _Group(kind, name, start, at, count)
        at += 8 * count


def _decoded(blob: bytes) -> Iterable[tuple[str, str, list[bytes]]]:
    for kind, name, _, at, count in _groups(blob):
        yield kind, name.decode() or FREE, [blob[at + 8 * n : at + 8 * n + 8] for n in range(count)]


def longest_in(key: bytes, blob: bytes) -> tuple[int, int, int] | None:
    """Return which name in encoded dependencies stands in a key too: where here, where there, and how long it is."""
    best = 0, 0, 2
    for _, name, start, _, _ in _groups(blob):
        if len(name) > best[2] and blob[start - 1] == len(name) and name in key:
            best = start, key.index(name), len(name)
    return best if best[0] else None


def layout(blob: bytes) -> Layout:
    """Return where the points of encoded dependencies stand, whole things above included. Raises ValueError."""
    try:
        return _layout(blob) if len(blob) <= LONGEST_KEPT else _layout.__wrapped__(blob)
    except IndexError as error:
        raise ValueError("These bytes are no dependencies.") from error


@lru_cache(maxsize=16384)
def _layout(blob: bytes) -> Layout:
    whole = {EVERYTHING}
    places: dict[bytes, list[bytes]] = {}
    for kind, family, digests in _decoded(blob):
        mark, inner = tenant_of(family)
        if kind in "trs":
            whole.add(database_of(family))
        if mark:
            whole.add(f"{mark}{EVERYTHING}")
        if mark and kind in "trsn":
            whole.add(for_all(inner))
        if kind in _ABOVE:
            whole.add(_ABOVE[kind].format(family))
        for one in digests:
            places.setdefault(place_of(family, one), []).append(one)
    return Layout(
        one_of(tuple(name.encode() for name in sorted(whole))),
        tuple((place, tuple(digests)) for place, digests in sorted(places.items())),
    )


def readable(blob: bytes) -> list[str]:
    """Return encoded dependencies for people to read; rows and slices are digests, so they are counted."""
    names = {
        "t": "{}",
        "n": "{}",
        "r": "{} ({} rows)",
        "s": "{} ({} slices)",
        "m": "{} ({} calls)",
        "f": "{1} free tags",
    }
    return [names[kind].format(family, len(digests)) for kind, family, digests in _decoded(blob)]


def families(blob: bytes) -> set[str]:
    """Return the families (tables, doors, free strings) of encoded dependencies."""
    return {family for _, family, _ in _decoded(blob)}


def touches(blob: bytes, targets: Iterable[str]) -> bool:
    """Tell whether invalidating `targets` makes an entry with these dependencies stale."""
    where = layout(blob)
    for text in targets:
        tag = parse(text)
        if not tag.digest:
            if tag.text.encode() in where.whole:
                return True
        elif any(tag.digest in digests for _, digests in where.places):
            return True
    return False
