"""A Redis server as a plain object: the commands that the ledger sends, its scripts, keys that expire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any

from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from cachekit.core import dependencies
from cachekit.stores import scripts
from tests.consistency import scripts_model

SCRIPTS = ("attach", "begin", "intend", "invalidate", "mend", "release", "renew", "withdraw")
LONGEST_KEPT = 2048
Told = tuple[bytes, list[bytes]]
"""One event of a stream: its name there, fields and values in turn."""


def forget_places() -> None:
    """Forget in which buckets points stand: their number is another now."""
    for memo in (dependencies._layout, dependencies._buckets, scripts.placed):
        memo.cache_clear()


class RedisModel:
    """`clock` gives the server's time in microseconds; a model that does not expire keeps what has a TTL."""

    def __init__(self, clock: Callable[[], int], *, expires: bool = True) -> None:
        self.clock = clock
        self.keys: dict[bytes, Any] = {}
        """Strings as bytes, hashes as dicts, streams as lists."""
        self.deadlines: dict[bytes, int] = {}
        self.run_id = b"run0"
        """The server's name, another one each time it is started."""
        self.policy = b"noeviction"
        self.streams = 40
        """How many events a stream keeps."""
        self._told_last = 0
        self.refusal: ResponseError | None = None
        """What writes are answered with; out of memory, those that would take some."""
        self.rings: Callable[[bytes], None] = lambda bell: None
        self._expires = expires
        self._sources = {scripts.script(name).sha: name for name in SCRIPTS}
        self._loaded: set[str] = set()
        self._commands: dict[bytes, Callable[..., Any]] = {
            b"HMGET": self._hmget,
            b"GET": self._get,
            b"MGET": self._mget,
            b"DEL": self._del,
            b"SET": self._set,
            b"PERSIST": self._persist,
            b"INFO": lambda _, section: self._told[section]() + b"\r\n",
            b"ROLE": lambda *_: [b"master"],
            b"HGET": lambda _, key, field: (self.find(key) or {}).get(field),
            b"XREAD": self._xread,
            b"XREVRANGE": self._xrevrange,
            b"EVAL": self._evaluate,
            b"EVALSHA": self._evaluate,
        }
        self._told: dict[bytes, Callable[[], bytes]] = {
            b"server": lambda: b"run_id:" + self.run_id,
            b"memory": lambda: b"maxmemory_policy:" + self.policy,
        }
        self._parsed: dict[bytes, list[list[bytes]]] = {}

    def exchange(self, payload: bytes) -> list[Any]:
        """Carry out packed commands; an error reply stands in the list."""
        return [self.execute(command) for command in self.parse(payload)]

    def parse(self, payload: bytes) -> list[list[bytes]]:
        """Take packed commands apart."""
        known = self._parsed.get(payload)
        if known is not None:
            return known
        commands, at = [], 0
        while at < len(payload):
            parts, at = _number(payload, at)
            command = []
            for _ in range(parts):
                length, at = _number(payload, at)
                command.append(payload[at : at + length])
                at += length + 2
            commands.append(command)
        if commands[-1][0] in (b"PERSIST", b"HMGET") and len(payload) < LONGEST_KEPT:
            self._parsed[payload] = commands
        return commands

    def execute(self, command: Sequence[bytes]) -> Any:
        """Carry out one command."""
        return self._commands[command[0]](*command)

    def _hmget(self, _: bytes, key: bytes, *fields: bytes) -> list[bytes | None]:
        found = self.find(key)
        return [found.get(field) for field in fields] if found else [None] * len(fields)

    def _get(self, _: bytes, key: bytes) -> Any:
        return self.find(key)

    def _mget(self, _: bytes, *keys: bytes) -> list[Any]:
        return [self.find(key) for key in keys]

    def _del(self, _: bytes, key: bytes) -> Any:
        if self.refusal is not None and not self._is_full:
            return self.refusal
        return int(self.delete(key))

    def _set(self, _: bytes, key: bytes, value: bytes, px: bytes = b"", milliseconds: bytes = b"0") -> Any:
        if self.refusal is not None:
            return self.refusal
        self.set(key, value, int(milliseconds))
        return b"OK"

    def _xread(self, *command: bytes) -> Any:
        """XREAD COUNT n [BLOCK ms] STREAMS stream id; whoever calls this has waited already."""
        stream, after = command[-2], int(command[-1].partition(b"-")[0])
        found = [one for one in self.find(stream) or () if int(one[0].partition(b"-")[0]) > after]
        return [[stream, found]] if found else None

    def _xrevrange(self, _: bytes, stream: bytes, *__: bytes) -> list[Told]:
        return (self.find(stream) or [])[-1:]

    def _persist(self, _: bytes, key: bytes) -> Any:
        """The strict read's probe: the roots have no lifetime that it could end."""
        return 0 if self.refusal is None or self._is_full else self.refusal

    def _evaluate(self, how: bytes, script: bytes, count: bytes, *rest: bytes) -> Any:
        keys, argv = rest[: int(count)], rest[int(count) :]
        sha = script.decode() if how == b"EVALSHA" else sha1(script, usedforsecurity=False).hexdigest()
        if how == b"EVALSHA" and sha not in self._loaded:
            return NoScriptError("No matching script.")
        self._loaded.add(sha)
        if self.refusal is not None and not (self._is_full and self._sources[sha] in ("release", "renew")):
            return self.refusal
        return getattr(scripts_model, self._sources[sha])(self, keys, argv)

    @property
    def _is_full(self) -> bool:
        return isinstance(self.refusal, OutOfMemoryError)

    # What scripts call

    def find(self, key: bytes) -> Any:
        """Return what is kept under a key, or None."""
        deadline = self.deadlines.get(key)
        if deadline is not None and deadline <= self.clock():
            self.delete(key)
        return self.keys.get(key)

    def set(self, key: bytes, value: bytes, milliseconds: int = 0) -> None:
        """Keep a string."""
        self.keys[key] = value
        self.deadlines.pop(key, None)
        self.expire(key, milliseconds)

    def expire(self, key: bytes, milliseconds: int) -> None:
        """Give a key a lifetime; 0 none."""
        if milliseconds and self._expires and key in self.keys:
            self.deadlines[key] = self.clock() + milliseconds * 1000

    def delete(self, key: bytes) -> bool:
        """Remove a key."""
        self.deadlines.pop(key, None)
        return self.keys.pop(key, None) is not None

    def hash_of(self, key: bytes) -> dict[bytes, bytes]:
        """Return a hash to write to; an empty one is born."""
        found = self.find(key)
        if found is None:
            found = self.keys[key] = {}
        hashed: dict[bytes, bytes] = found
        return hashed

    def ring(self, bell: bytes) -> None:
        """Wake whoever waits at a stream."""
        self.keys[bell] = b"rung"
        self.rings(bell)

    def append(self, stream: bytes, fields: dict[bytes, bytes]) -> None:
        """Add to a stream, whose end is kept."""
        events: list[Told] = self.keys.setdefault(stream, [])
        self._told_last += 1
        events.append((b"%d-0" % self._told_last, [part for pair in fields.items() for part in pair]))
        del events[: -self.streams]
        self.rings(stream)

    # What befalls servers

    def flush(self) -> None:
        """Lose everything, scripts too."""
        self.keys.clear()
        self.deadlines.clear()
        self.forget_scripts()

    def start(self) -> None:
        """Be another server from now on: who was connected must connect again."""
        self.run_id = b"run%d" % (int(self.run_id[3:]) + 1)

    def forget_scripts(self) -> None:
        """Do SCRIPT FLUSH."""
        self._loaded.clear()

    def copy(self) -> tuple[dict[bytes, Any], dict[bytes, int]]:
        """Return all there is, as a snapshot would hold it."""
        return {key: _copied(held) for key, held in self.keys.items()}, dict(self.deadlines)

    def restore(self, snapshot: tuple[dict[bytes, Any], dict[bytes, int]]) -> None:
        """Go back to a snapshot."""
        self.flush()
        self.keys.update({key: _copied(held) for key, held in snapshot[0].items()})
        self.deadlines.update(snapshot[1])


def _copied(held: Any) -> Any:
    return held.copy() if isinstance(held, (dict, list)) else held


def _number(payload: bytes, at: int) -> tuple[int, int]:
    end = payload.index(b"\r\n", at)
    return int(payload[at + 1 : end]), end + 2
