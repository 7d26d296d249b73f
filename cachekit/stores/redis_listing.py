"""What a Redis server says of its keys: SCAN, never KEYS, and one exchange a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cachekit.stores.listing import MEMBERS, Fact, Value
from cachekit.stores.redis import REFUSALS, RedisStore
from cachekit.stores.wire import code_of, pack

_QUESTIONS: dict[str, tuple[str, str, tuple[str | int, ...]]] = {
    "string": ("STRLEN", "GETRANGE", ()),
    "hash": ("HLEN", "HSCAN", (0, "COUNT", MEMBERS)),
    "set": ("SCARD", "SSCAN", (0, "COUNT", MEMBERS)),
    "zset": ("ZCARD", "ZSCAN", (0, "COUNT", MEMBERS)),
    "list": ("LLEN", "LRANGE", (0, MEMBERS - 1)),
    "stream": ("XLEN", "XREVRANGE", ("+", "-", "COUNT", MEMBERS)),
}
"""How long is it, and what does it hold, by type."""


class RedisListing:
    """The keys of the database that a store is in."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store

    def total(self) -> int:
        """Ask DBSIZE."""
        return int(self._ask(("DBSIZE",))[0])

    def scan(self, cursor: int, match: bytes, count: int) -> tuple[int, list[bytes]]:
        """Take one step of SCAN."""
        following, keys = self._ask(("SCAN", cursor, "MATCH", match, "COUNT", count))[0]
        return int(following), keys

    def facts(self, keys: Sequence[bytes]) -> list[Fact]:
        """Ask TYPE, PTTL and MEMORY USAGE; a server that refuses the last leaves the size unknown."""
        replies = self._ask(*(ask for raw in keys for ask in (("TYPE", raw), ("PTTL", raw), ("MEMORY", "USAGE", raw))))
        found = []
        for raw, kind, ttl, size in zip(keys, replies[::3], replies[1::3], replies[2::3], strict=True):
            if kind != b"none":
                known = size if isinstance(size, int) else None
                found.append(Fact(raw, kind.decode(), ttl / 1000 if ttl >= 0 else None, known))
        return found

    def heads(self, keys: Sequence[bytes], size: int) -> list[bytes]:
        """Ask GETRANGE."""
        replies = self._ask(*(("GETRANGE", raw, 0, size - 1) for raw in keys))
        return [reply if isinstance(reply, bytes) else b"" for reply in replies]

    def value(self, raw: bytes, kind: str, limit: int) -> Value:
        """Ask for the length and for the start, with the commands of its type."""
        length, start, rest = _QUESTIONS.get(kind, _QUESTIONS["string"])
        size, got = self._ask((length, raw), (start, raw, *(rest or (0, limit - 1))))
        if isinstance(size, Exception) or isinstance(got, Exception):
            return Value(0)  # the key changed its type, or is of a module's type
        return Value(size, got) if kind == "string" else Value(size, members=_members(kind, got))

    def remove(self, keys: Sequence[bytes]) -> int:
        """UNLINK them in one call."""
        return int(self._ask(("UNLINK", *keys))[0]) if keys else 0

    def info(self) -> bytes:
        """Ask INFO; empty where the server does not know it or may not say."""
        (reply,) = self._ask(("INFO",))
        return reply if isinstance(reply, bytes) else b""

    def _ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send commands in one round trip; an error reply stands among the replies."""
        if not commands:
            return []
        with self.store.guard():
            replies = self.store.wire.exchange(b"".join(pack(*command) for command in commands), len(commands))
            if all(isinstance(reply, Exception) for reply in replies) and code_of(replies[0]) in REFUSALS:
                raise replies[0]
            return replies


def _members(kind: str, got: Any) -> tuple[tuple[bytes, ...], ...]:
    """Bring what HSCAN, SSCAN, ZSCAN, LRANGE and XREVRANGE return into rows."""
    if kind == "list":
        return tuple((item,) for item in got)
    if kind == "stream":
        return tuple((name, *fields) for name, fields in got)
    flat = got[1]
    return tuple((item,) for item in flat) if kind == "set" else tuple(zip(flat[::2], flat[1::2], strict=True))
