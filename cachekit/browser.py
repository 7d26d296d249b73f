"""List and look at the keys of an alias: a page at a time, within a time budget, and never outside its prefix."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence

from django.core.cache import caches

from cachekit.exceptions import InvalidKey
from cachekit.stores import store_for
from cachekit.stores.listing import Fact, Value, listing_for

PAGE = 100
"""So many rows are enough for a page."""
BUDGET = 0.25
"""So many seconds a page may scan."""
STEP = 1_000
"""So many keys the server looks at in one call: about a millisecond of its time."""

DOORS = ("entries", "values")
"""The sections that an operator may purge: what the doors keep, not what lies beside the ledger."""

SECRET = re.compile(rb"session|csrf|token|passw|secret|otp|api.?key|authori[sz]ation", re.IGNORECASE)
"""Keys whose values are nobody's business, and the rest of whose names may be what a visitor logs in with."""

MAGIC = re.compile(rb"[*?\[\\]")


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A key with its facts, and what it is for: entry, value, or one of the kinds beside the ledger."""

    fact: Fact
    kind: str

    @property
    def token(self) -> str:
        """The key as it stands in a URL."""
        return token_of(self.fact.raw)

    @property
    def secret(self) -> bool:
        """Whether its value, and the end of its name, are not for showing."""
        return self.kind in ("entry", "value") and SECRET.search(self.fact.raw) is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Some keys, and where to go on; nothing is missing for certain before every key was looked at."""

    rows: list[Row]
    cursor: int
    scanned: int
    total: int

    @property
    def done(self) -> bool:
        """Whether the walk is over."""
        return self.cursor == 0


def token_of(raw: bytes) -> str:
    """Write a key so that it fits into a path, whatever its bytes; `-` stands for the empty key."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=") or "-"


def raw_of(token: str) -> bytes:
    """Read what `token_of` wrote. Raises InvalidKey."""
    if token == "-":  # noqa: S105 - a name, not a secret
        return b""
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidKey(f"{token!r} is not a key: copy the link from the key page.") from error


def visible(raw: bytes) -> str:
    """Write a key so that every byte can be seen: control, invisible and undecodable characters are escaped."""
    text = raw.decode("utf-8", "surrogateescape")
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


def secret(name: str) -> bool:
    """Tell whether a name speaks of sessions, tokens or passwords."""
    return SECRET.search(name.encode()) is not None


def discreet(raw: bytes) -> str:
    """Write a key like `visible`, but without what follows a word that speaks of sessions, tokens or passwords."""
    found = list(SECRET.finditer(raw))
    if not found or len(raw) - found[-1].end() <= 2:
        return visible(raw)
    return visible(raw[: found[-1].end()]) + "…"


def fronts(alias: str) -> dict[str, bytes]:
    """Return what the keys of each section begin with: entries, values of CACHES, what lies beside the ledger.

    Raises StoreUnavailable: the values' front moves at each `clear()`, so the server is asked for it.
    """
    store = store_for(alias)
    found = {"entries": store.key("e", "").encode(), "beside": store.slot_key("").encode()}
    (mark,) = listing_for(alias).heads([store.slot_key("generation").encode()], 64)
    if mark:
        found["values"] = mark + os.fsencode(caches[alias].make_key("")).removeprefix(mark)
    return found


def kind_of(raw: bytes, fronts: Mapping[str, bytes]) -> str:
    """Say what a key is for; an empty string when it is not this alias's."""
    section = next((name for name, front in fronts.items() if raw.startswith(front)), "")
    if section != "beside":
        return {"entries": "entry", "values": "value"}.get(section, "")
    return _BESIDE.get(raw[len(fronts["beside"]) :].partition(b":")[0], "other")


_BESIDE = {
    b"root": "ledger",
    b"events": "ledger",
    b"generation": "ledger",
    b"stats": "statistics",
    b"wb": "write-behind",
    b"warm": "warming",
    b"lease": "lease",
    b"wish": "lease",
    b"bell": "lease",
}


def escaped(text: bytes) -> bytes:
    """Return a glob that matches this text and nothing else."""
    return re.sub(rb"([*?\[\]^\\])", rb"\\\1", text)


def glob_of(pattern: str, front: bytes) -> bytes:
    """Put a pattern behind the front of its section; a pattern without magic stands anywhere in the key."""
    wanted = os.fsencode(pattern)
    for own in (front, escaped(front)):
        wanted = wanted.removeprefix(own)
    if not MAGIC.search(wanted):
        wanted = b"*" + escaped(wanted) + b"*" if wanted else b"*"
    return escaped(front) + wanted


def page(alias: str, pattern: str = "", cursor: int = 0, scanned: int = 0, *, section: str = "entries") -> Page:
    """Go on in a section from `cursor` until a page is full or the time is over. Raises StoreUnavailable."""
    listing, until = listing_for(alias), time.monotonic() + BUDGET
    front = fronts(alias).get(section)
    if front is None:
        return Page([], 0, 0, 0)
    match, total = glob_of(pattern, front), listing.total()
    found: dict[bytes, None] = {}
    step = PAGE
    while True:
        cursor, keys = listing.scan(cursor, match, step)
        found.update(dict.fromkeys(keys))
        scanned += step
        if not cursor or len(found) >= PAGE or time.monotonic() > until:
            break
        step = STEP if len(found) < PAGE // 2 else PAGE
    return Page(rows(alias, sorted(found)), cursor, min(scanned, total) if cursor else total, total)


def rows(alias: str, keys: Sequence[bytes]) -> list[Row]:
    """Describe those keys that exist and are the alias's. Raises StoreUnavailable."""
    own = fronts(alias)
    facts = listing_for(alias).facts(keys)
    return [Row(fact, kind) for fact in facts if (kind := kind_of(fact.raw, own))]


def exact(alias: str, text: str) -> list[Row]:
    """Return the key of exactly this name: as it stands on the server, or behind the front of a section."""
    if not text:
        return []
    raw = os.fsencode(text)
    return rows(alias, [raw, *(front + raw for front in fronts(alias).values())])


def look(alias: str, raw: bytes, limit: int) -> tuple[Row, Value] | None:
    """Return a key's facts and the start of its value, None when there is no such key. Raises StoreUnavailable."""
    found = rows(alias, [raw])
    if not found:
        return None
    return found[0], listing_for(alias).value(raw, found[0].fact.type, limit)


def walk(
    alias: str, pattern: str, seconds: float, sections: Sequence[str] = DOORS
) -> Iterator[tuple[bool, list[bytes]]]:
    """Yield the keys of a pattern step by step, for so long, and whether that was all. Raises StoreUnavailable."""
    listing, until = listing_for(alias), time.monotonic() + seconds
    own = fronts(alias)
    matches = [glob_of(pattern, own[section]) for section in sections if section in own]
    for left, match in enumerate(reversed(matches)):
        cursor = 0
        while True:
            cursor, keys = listing.scan(cursor, match, STEP)
            yield not cursor and left == len(matches) - 1, keys
            if time.monotonic() > until:
                return
            if not cursor:
                break
