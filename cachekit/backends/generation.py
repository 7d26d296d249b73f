"""The generation that every key of a door begins with: `clear()` moves it, and no call can see an older key.

Each call asks for the generation in the same round trip as its own question, *after* it, and is made again when the
generation is not the one it was made for. So a call whose generation agrees was carried out before any later clear.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Generator, Sequence
from hashlib import blake2b
from secrets import token_urlsafe
from typing import Any, NamedTuple, TypeAlias, TypeVar

from redis.exceptions import RedisError, ResponseError

from cachekit.backends.nearby import Teller, told
from cachekit.backends.phrases import Expiry, encoded, fetching, storing
from cachekit.exceptions import StoreUnavailable
from cachekit.stores.wire import Packable, pack, raised

PAGE = 1000
BATCH = 500


class Request(NamedTuple):
    """Packed commands to send, how many replies to read, and whether only the primary may answer."""

    payload: bytes
    replies: int
    write: bool = False


Answer = TypeVar("Answer")
Plan: TypeAlias = Generator[Request, list[Any], Answer]


class Mark(NamedTuple):
    """A generation as the text that keys begin with, and as the server says it."""

    text: str
    raw: bytes


class Generation:
    """What this process knows of the generation of one key prefix; shared by its threads, kept by the server."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.family = f"ck{urlsafe_b64encode(blake2b(key.encode(), digest_size=6).digest()).decode()}"
        self.teller: Teller | None = None
        """Whom to tell which keys were written, where processes keep what they have read."""
        self._known: Mark | None = None
        self._question = pack("GET", key)
        self._last_part = pack(key).partition(b"\r\n")[2]

    def known(self) -> Plan[Mark]:
        """Return the generation this process knows, which may have moved."""
        return self._known or (yield from self.learnt())

    def learnt(self) -> Plan[Mark]:
        """Ask the primary for the generation; where it has none, a new one begins, so that eviction revives no key."""
        new = self._new()
        _, found = raised((yield Request(pack("SET", self.key, new.raw, "NX") + self._question, 2, write=True)))
        if not found.startswith(self.family.encode()) or not found.isascii():  # none, or not ours
            raised((yield Request(pack("SET", self.key, new.raw), 1, write=True)))
            found = new.raw
        self._known = Mark(found.decode(), found)
        return self._known

    def guess(self, name: str) -> tuple[bytes, bytes]:
        """Return the MGET of one name and the generation, and what the latter must be; empty where none is known yet.

        This is the way of a hit: where the answer proves it, no plan is needed.
        """
        known = self._known
        if known is None:
            return b"", b""
        key = (known.text + name).encode("utf-8", "surrogatepass")
        return b"*3\r\n$4\r\nMGET\r\n$%d\r\n%b\r\n%b" % (len(key), key, self._last_part), known.raw

    def storing(self, name: str, data: bytes, expiry: Expiry) -> tuple[bytes, bytes]:
        """Like `guess`, the SET of one name and the question for the generation; empty where others must be told."""
        known = self._known
        if known is None or self.teller is not None:
            return b"", b""
        key = (known.text + name).encode("utf-8", "surrogatepass")
        return storing(key, data, expiry) + self._question, known.raw

    def storing_aloud(self, teller: Teller, name: str, data: bytes, expiry: Expiry) -> tuple[bytes, bytes, bytes]:
        """Like `storing`, with what tells of the key in between; and how the key is called there."""
        known = self._known
        if known is None:
            return b"", b"", b""
        key = (known.text + name).encode("utf-8", "surrogatepass")
        said, called = teller.one(name)
        return b"%b%b%b" % (storing(key, data, expiry), said, self._question), known.raw, called

    def fetched(self, names: Sequence[str]) -> Plan[list[bytes | None]]:
        """Return what stands under these names, and the proof that no clear came before it, by one MGET."""
        while True:
            text, raw = self._known or (yield from self.learnt())
            (values,) = yield Request(fetching(text, names, self._last_part), 1)
            if type(values) is not list:
                raise values
            if values.pop() == raw or (yield from self.learnt()).raw == raw:  # else a replica that lags
                return values

    def settled(
        self,
        build: Callable[[str], bytes],
        replies: int,
        *,
        write: bool = True,
        leaves: Sequence[str] = (),
        moves: Sequence[str] | None = None,
    ) -> Plan[list[Any]]:
        """Return the replies to the commands that `build` makes for the generation in force.

        What a command for an older generation wrote, nobody can see; `leaves` names it, to be removed. `moves` names
        what is written to, where that is something else; nobody is told of nothing.
        """
        names, teller = leaves if moves is None else moves, self.teller if write else None
        while True:
            text, raw = self._known or (yield from self.learnt())
            if teller is None or not names:
                answers = yield Request(build(text) + self._question, replies + 1, write)
            else:
                answers = yield from self._told(teller, build(text), replies, names)
            if answers.pop() == raw or (yield from self.learnt()).raw == raw:
                return answers
            if leaves:
                yield Request(pack("UNLINK", *[text + name for name in leaves]), 1, write=True)

    def _told(self, teller: Teller, payload: bytes, replies: int, names: Sequence[str]) -> Plan[list[Any]]:
        """Return the replies to commands and to the question, with what was written told in between."""
        said, count = teller.said(names, loaded=True)
        try:
            answers = yield Request(payload + said + self._question, replies + count + 1, write=True)
            if not told(teller, names, answers.pop(replies)):
                said, count = teller.said(names, loaded=False)
                (answer,) = yield Request(said, count, write=True)
                teller.done(names, answer)
        except (StoreUnavailable, RedisError):
            teller.lost()
            raise
        return answers

    def left(self, raw: bytes, name: str) -> Plan[int]:
        """Remove what was written in a generation that has passed."""
        return (yield from unlinked([raw + encoded(name)]))

    def told_of_all(self) -> Plan[None]:
        """Tell that any key may have been written."""
        if self.teller is not None:
            yield from self._told(self.teller, b"", 0, ())

    def one(self, verb: str, name: str, *parts: Packable, write: bool = True) -> Plan[Any]:
        """Return the reply to one command on one key."""
        build = self.settled(lambda text: pack(verb, text + name, *parts), 1, write=write, moves=(name,))
        (answer,) = raised((yield from build))
        return answer

    def moved(self) -> Plan[None]:
        """Begin a new generation: from now on no call finds what was stored before."""
        new = self._new()
        raised((yield Request(pack("SET", self.key, new.raw), 1, write=True)))
        self._known = new

    def swept(self, budget: float) -> Plan[int]:
        """Remove keys of past generations for at most `budget` seconds; return how many.

        The generation is asked for after each page, so that keys of one begun meanwhile are spared.
        """
        until, cursor, count = time.monotonic() + budget, b"0", 0
        pattern = f"{self.family}????????:*"
        while True:
            page = pack("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE) + self._question
            (cursor, found), current = raised((yield Request(page, 2, write=True)))
            old = [key for key in found if current is None or not key.startswith(current)]
            count += yield from unlinked(old)
            if cursor == b"0" or time.monotonic() > until:
                return count

    def without(self, key: str) -> str:
        """Return a server's key without its generation."""
        start = len(self.family) + 9
        return key[start:] if key.startswith(self.family) and key[start - 1 : start] == ":" else key

    def _new(self) -> Mark:
        text = f"{self.family}{token_urlsafe(6)}:"
        return Mark(text, text.encode())


def unlinked(keys: Sequence[bytes]) -> Plan[int]:
    """Remove keys in batches that keep the server from its other callers for about a millisecond; return how many."""
    count = 0
    for start in range(0, len(keys), BATCH):
        (removed,) = yield Request(pack("UNLINK", *keys[start : start + BATCH]), 1, write=True)
        if isinstance(removed, ResponseError):
            raise removed
        count += removed
    return count
