"""What the calls of a cache say to the server, and what they make of its answers: once, for callers and awaiters."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from cachekit.backends import phrases
from cachekit.backends.codec import Codec
from cachekit.backends.generation import BATCH, PAGE, Generation, Plan, unlinked
from cachekit.core.codecs import Undecodable
from cachekit.stores.wire import pack, raised

MISSING = object()
"""Nothing is there."""

COUNT_IF_THERE = b"if redis.call('EXISTS',KEYS[1])==1 then return redis.call('INCRBY',KEYS[1],ARGV[1]) end return false"


class NotANumber(TypeError, ResponseError):
    """A value was asked to count that cannot; Django's backends raise either parent."""


class Page(NamedTuple):
    """A page of a SCAN: the cursor of the next one, and what was found."""

    cursor: bytes
    found: Sequence[bytes]


class Looked(NamedTuple):
    """What was found, and errors that say what could not be read."""

    hits: dict[Any, Any]
    unread: list[Undecodable]


LAST_PAGE = Page(b"0", ())


class Calls:
    """The calls on one generation with one codec; `name` is a key as Django makes it, without the generation.

    Timeouts are in milliseconds here; None is for ever.
    """

    def __init__(self, generation: Generation, codec: Codec) -> None:
        self.generation = generation
        self.codec = codec
        self._text = codec.text
        self._stores_many = True
        """Until the server refuses to store many values with a timeout by one command: only new ones can."""

    # One value

    def get(self, name: str) -> Plan[Any]:
        """Return the value, MISSING, or Undecodable where something unreadable stands."""
        (data,) = yield from self.generation.fetched((name,))
        return self.value(data)

    def near(self, name: str) -> Plan[tuple[bytes | None, int]]:
        """Return what stands there on the primary, and the milliseconds that it has left: -1 for ever."""

        def build(text: str) -> bytes:
            return pack("GET", text + name) + pack("PTTL", text + name)

        found, left = raised((yield from self.generation.settled(build, 2)))
        return found, left

    def set(self, name: str, value: Any, timeout: int | None, *, nx: bool = False, xx: bool = False) -> Plan[bool]:
        """Store the value and say whether it was; a timeout that is over at once removes what stands there."""
        data = self.codec.encode(value)
        if timeout is not None and timeout <= 0:
            if nx:
                return not (yield from self.has(name))
            return (yield from self.delete((name,))) > 0
        options = [*(("PX", timeout) if timeout is not None else ()), *(("NX",) if nx else ("XX",) if xx else ())]
        (answer,) = raised(
            (
                yield from self.generation.settled(
                    lambda text: pack("SET", text + name, data, *options), 1, leaves=(name,)
                )
            )
        )
        return answer is not None

    def has(self, name: str) -> Plan[bool]:
        """Say whether something stands there."""
        return bool((yield from self.generation.one("EXISTS", name, write=False)))

    def touch(self, name: str, timeout: int | None) -> Plan[bool]:
        """Give what stands there another timeout; say whether anything did."""
        if timeout is not None:
            return bool((yield from self.generation.one("PEXPIRE", name, timeout)))

        def build(text: str) -> bytes:
            return pack("PERSIST", text + name) + pack("EXISTS", text + name)

        return bool(raised((yield from self.generation.settled(build, 2, moves=(name,))))[1])

    def count(self, name: str, delta: int, *, create: bool = False) -> Plan[Any]:
        """Add to a number and return the sum, or MISSING. Raises NotANumber."""

        def build(text: str) -> bytes:
            if create:
                return pack("INCRBY", text + name, delta)
            return pack("EVAL", COUNT_IF_THERE, 1, text + name, delta)

        (answer,) = yield from self.generation.settled(build, 1, leaves=(name,) if create else (), moves=(name,))
        if isinstance(answer, ResponseError):
            return (yield from self._added(name, delta, answer))
        return MISSING if answer is None else answer

    def _added(self, name: str, delta: Any, refusal: ResponseError) -> Plan[Any]:
        """Add to what the server cannot count: a float, a number beyond 64 bits, a serialized one."""
        found = yield from self.get(name)
        if found is MISSING or isinstance(found, Undecodable):
            return MISSING
        try:
            total = found + delta
        except TypeError as error:
            raise NotANumber(f"A value of type {type(found).__qualname__} cannot be incremented: {refusal}") from error
        left = yield from self.generation.one("PTTL", name)
        if left == -2:
            return MISSING
        yield from self.set(name, total, None if left == -1 else max(left, 1), xx=True)
        return total

    def rename(self, old: str, new: str) -> Plan[bool]:
        """Move what stands under one name, with its timeout, to the other; say whether anything did."""

        def build(text: str) -> bytes:
            return pack("RENAME", text + old, text + new)

        (answer,) = yield from self.generation.settled(build, 1, moves=(old, new))
        if isinstance(answer, ResponseError) and "no such key" in str(answer):
            return False
        raised((answer,))
        return True

    # Many

    def get_many(self, names: Mapping[str, Any]) -> Plan[Looked]:
        """Return what stands under {name: key}."""
        looked = Looked({}, [])
        if not names:
            return looked
        hits, unread, text = looked.hits, looked.unread, self._text
        for key, data in zip(names.values(), (yield from self.generation.fetched(list(names))), strict=True):
            if data is None:
                continue
            try:
                hits[key] = data[2:].decode() if data[:2] == text else self.codec.decode(data)
            except UnicodeDecodeError as error:
                unread.append(Undecodable(f"A stored text is broken: {error}"))
            except Undecodable as error:
                unread.append(error)
        return looked

    def set_many(self, values: Mapping[str, Any], timeout: int | None) -> Plan[list[str]]:
        """Store the values in one round trip; return the names of those that the server refused."""
        encode = self.codec.encode
        encoded = {name: encode(value) for name, value in values.items()}
        if not encoded:
            return []
        if timeout is not None and timeout <= 0:
            yield from self.delete(list(encoded))
            return []
        names, items, end = list(values), list(encoded.items()), phrases.expiry(timeout)

        def at_once(text: str) -> bytes:
            batches = (items[start : start + BATCH] for start in range(0, len(items), BATCH))
            return b"".join([phrases.storing_many(text, batch, end) for batch in batches])

        def each(text: str) -> bytes:
            return b"".join([phrases.storing(phrases.encoded(text + name), data, end) for name, data in items])

        if self._stores_many or timeout is None:
            answers = yield from self.generation.settled(at_once, -(-len(items) // BATCH), leaves=names)
            if not any(isinstance(answer, ResponseError) for answer in answers):
                return []
            self._stores_many = self._stores_many and timeout is None
        answers = yield from self.generation.settled(each, len(items), leaves=names)
        return [name for name, answer in zip(names, answers, strict=True) if isinstance(answer, ResponseError)]

    def delete(self, names: Sequence[str]) -> Plan[int]:
        """Remove; return how many were there."""
        if not names:
            return 0
        removed = self.generation.settled(lambda text: pack("UNLINK", *[text + name for name in names]), 1, moves=names)
        return int(raised((yield from removed))[0])

    # Times

    def left(self, name: str, verb: str) -> Plan[int | None]:
        """Return the time left by TTL (seconds) or PTTL; 0 where nothing stands, None where it stays for ever."""
        answer = yield from self.generation.one(verb, name, write=False)
        return {-1: None, -2: 0}.get(answer, answer)

    def expire(self, name: str, verb: str, when: float | datetime.timedelta | datetime.datetime) -> Plan[bool]:
        """Say when an entry expires; `verb` says in which unit, and whether from now. Return whether there is one."""
        return bool((yield from self.generation.one(verb, name, ticks(when, 1000 if verb.startswith("P") else 1))))

    def persist(self, name: str) -> Plan[bool]:
        """Take the timeout away; return whether there was one."""
        return bool((yield from self.generation.one("PERSIST", name)))

    # Walking

    def page(self, pattern: str, cursor: bytes, size: int = PAGE) -> Plan[Page]:
        """Return one page of the keys that match."""

        def build(text: str) -> bytes:
            return pack("SCAN", cursor, "MATCH", text + pattern, "COUNT", size)

        (answer,) = raised((yield from self.generation.settled(build, 1)))
        return Page(*answer)

    def members(self, name: str, cursor: bytes, match: bytes | None, size: int) -> Plan[Page]:
        """Return one page of a set's members."""
        match_parts = () if match is None else ("MATCH", match)
        return Page(*(yield from self.generation.one("SSCAN", name, cursor, *match_parts, "COUNT", size)))

    def keys(self, pattern: str) -> Plan[list[bytes]]:
        """Return all keys that match, each once."""
        found: dict[bytes, None] = {}
        page = Page(b"0", ())
        while True:
            page = yield from self.page(pattern, page.cursor)
            found.update(dict.fromkeys(page.found))
            if page.cursor == b"0":
                return list(found)

    def delete_pattern(self, pattern: str, size: int = PAGE) -> Plan[int]:
        """Remove all keys that match; return how many."""
        page, count = Page(b"0", ()), 0
        while True:
            page = yield from self.page(pattern, page.cursor, size)
            count += yield from unlinked(page.found)
            if page.cursor == b"0":
                yield from self.generation.told_of_all()
                return count

    def clear(self, budget: float) -> Plan[bool]:
        """Begin a new generation, then remove what the old ones left."""
        yield from self.generation.moved()
        yield from self.generation.swept(budget)
        return True

    def value(self, data: bytes | None) -> Any:
        """Return the value of what was stored, MISSING, or Undecodable where it is unreadable."""
        if data is None:
            return MISSING
        try:
            return data[2:].decode() if data[:2] == self._text else self.codec.decode(data)
        except UnicodeDecodeError as error:
            return Undecodable(f"A stored text is broken: {error}")
        except Undecodable as error:
            return error


def ticks(when: float | datetime.timedelta | datetime.datetime, unit: int) -> int:
    """Return a moment or a span as so many parts of a second."""
    if isinstance(when, datetime.datetime):
        return int(when.timestamp() * unit)
    if isinstance(when, datetime.timedelta):
        return int(when.total_seconds() * unit)
    return int(when)
