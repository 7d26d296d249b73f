"""Tags: what entries depend on and writes invalidate, as text and as places in the ledger.

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
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from cachekit.core.interning import one_of
from cachekit.exceptions import InvalidTag

BUCKETS = 64
MAX_LENGTH = 250
MAX_ROWS = 32
FREE = "~"
EVERYTHING = "*"
TABLE = "table:"
TENANT_LETTERS = r"A-Za-z0-9_.\-"
RAW = "\x1f"
"""In a line of the outbox, between the start of a tag and a value as the database writes it."""
VALUES = "\x1e"
"""In a row of the outbox, before columns and values of one changed row as the database writes them."""
LONGEST_VALUE = 1000
"""Longer text is told as a whole."""
LONGEST_FAMILY = 255
"""An envelope gives one byte to the length of a family's name."""
NAMED = ("function", "view", "fragment", "query", "backend")
"""Doors: `function:shop.top` is a tag."""

_TABLE = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*(@[\w-]+)?")
_LABEL = re.compile(r"^[A-Za-z_]\w*\.[A-Za-z_]\w*(?=$|[@#?])")
_MODEL_TAG = re.compile(rf"(?P<family>{_TABLE.pattern})(?P<kind>[#?])(?P<rest>.+)")
_TENANT = re.compile(rf"(\[(?:[{TENANT_LETTERS}]{{1,63}}|\*)\])(.+)")
_BARE = re.compile(rf"{TABLE}[^#?]+")
_NAMED = re.compile(rf"(?P<family>(?:{'|'.join(NAMED)}):[^#]+)(?:#(?P<rest>.+))?")
_UNFIT = re.compile(r"[\s\x00-\x1f\x7f\ud800-\udfff]")


class Tag(NamedTuple):
    """One tag, taken apart: the family whose buckets hold its point (or none), and the name of a whole thing."""

    text: str
    kind: str
    """`table`, `row`, `slice`, `free`, `named`, `member`; `whole` can be invalidated but not depended on."""
    family: str
    digest: bytes


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
    if text[:1] == "[" and (match := _TENANT.fullmatch(text)):
        return _of_tenant(match[1], parse(match[2]))
    plain = text.isascii() and text.isprintable() and " " not in text
    if not text or len(text) > MAX_LENGTH or (not plain and len(text.encode("utf-8", "replace")) > MAX_LENGTH):
        raise InvalidTag(f"A tag has 1 to {MAX_LENGTH} bytes, this one has {len(text):,} characters: {text[:40]!r}")
    if not plain and _UNFIT.search(text):
        proposal = _UNFIT.sub("-", text.strip()) or "-"
        raise InvalidTag(
            f"Tag {text!r} holds white space, a control character or half of one. Write it as {proposal!r}."
        )
    return _taken_apart(text)


def _taken_apart(text: str) -> Tag:
    if text == EVERYTHING or text.startswith("db:"):
        return Tag(text, "whole", text, b"")
    if not text.islower():
        text = _LABEL.sub(lambda label: label[0].lower(), text)  # "shop.Product" is how Django writes it
    if "#" not in text and "?" not in text:
        if _TABLE.fullmatch(text) or _BARE.fullmatch(text):
            return Tag(text, "table", text, b"")
    elif match := _MODEL_TAG.fullmatch(text):
        family, kind, rest = match.group("family", "kind", "rest")
        if rest == "*":
            return Tag(text, "whole", text, b"")
        return Tag(text, "row" if kind == "#" else "slice", family, digest(text))
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
