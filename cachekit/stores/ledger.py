"""How steps and points look on the wire to Redis: exchanges to make, written once for callers and awaiters."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError, NoScriptError, ReadOnlyError, ResponseError

from cachekit.core import steps, tags
from cachekit.core.entry import NEVER, Found, unseal
from cachekit.core.mirror import Beat
from cachekit.stores import scripts
from cachekit.stores.asking import Asking
from cachekit.stores.scripts import Exchange, Talk, placed, told_as
from cachekit.stores.wire import code_of, framed, pack, raised

BUCKET_LIMIT = 100_000 // tags.BUCKETS
NAMELESS = b"?"
"""The run id of a server that does not tell one (fakeredis, some proxies): its restarts go unnoticed."""
GREETING = pack("INFO", "server") + pack("ROLE") + pack("INFO", "memory")
KEEPING = (b"noeviction", b"volatile-lru", b"volatile-lfu", b"volatile-random", b"volatile-ttl")
"""Policies under which nothing without a lifetime is evicted: no point, and no root."""


class Unproven(RedisConnectionError):
    """A server answers that may not be read yet: it has not been told what it missed."""


class Ledger(Asking):
    """The ledger of one store: its keys, and a `talk` for each step."""

    def __init__(self, prefix: str, max_staleness: float = 0, *, replays: bool = False) -> None:
        self.prefix = prefix
        self._replays = replays
        self._bound = int(max_staleness * 1_000_000)
        Asking.__init__(self, f"{{{prefix}}}:root")
        self.events = f"{{{prefix}}}:events"
        self._probe = pack("PERSIST", self.root)
        self._proof = pack("GET", f"{{{prefix}}}:attest") + pack("HGET", self.root, "server") + pack("TIME")
        self.evicts = True
        """Whether points may be evicted; a server that does not tell counts as one that does."""

    # Attaching

    def greet(self) -> Talk:
        """Ask over a new connection who answers; on another server than the ledger was written on an epoch begins.

        A server that was restarted, restored or promoted may have missed invalidations. Where all of them stand in the
        outbox it is away until a relay has told it. Raises ReadOnlyError where a replica answers: nothing can be
        invalidated there. Returns the server's run id.
        """
        told, role, memory, known = yield Exchange(GREETING + pack("HGET", self.root, "server"), 4)
        raised([known])
        self.evicts = _told(memory, b"maxmemory_policy") not in KEEPING
        if isinstance(role, list) and role[0] != b"master":
            raise ReadOnlyError("a replica answers, which takes no invalidations")
        name = _told(told, b"run_id") or NAMELESS
        if known != name:
            if known is not None and self._replays:
                raise Unproven("another server than before answers; a relay must tell it first what it has missed")
            yield from self.attach()
        return name

    def attach(self) -> Talk:
        """Begin an epoch where the ledger was written on another server."""
        yield from self._run("attach", (self.root, self.events), new_epoch())

    # Reading

    def load(self, step: steps.Load) -> Talk:
        """Fetch an entry with the points of the tags it had last time; ask again only if it names others.

        The points come after the entry: what is newer than a reader's snapshot must not hide behind older points. The
        last command writes nothing, but would be refused where writes are: on such a server nobody can invalidate.
        """
        guess = self._seen.get(step.key, b"")
        ask = self.ask(guess)
        proof, proofs = (self._proof, 3) if self._bound else (b"", 0)
        asked = b"%b%b%b%b" % (pack("GET", step.key), ask.payload, proof, self._probe)
        data, *replies = raised((yield Exchange(asked, ask.replies + proofs + 2)))
        attested = replies[ask.replies : -1]
        header, payload = unseal(data, step.key)
        if header is not None and header.tags != guess:
            try:
                ask = self.ask(header.tags)
            except ValueError:  # somebody else wrote this
                header, payload = None, b""
            else:
                guess = self.remember(step.key, header.tags)
                replies = yield Exchange(ask.payload, ask.replies)
        if header is None:
            self._seen.pop(step.key, None)
        ask, replies = yield from self._completed(guess, ask, replies)
        epoch, last, newest = self.points(ask, replies)
        return Found(header, payload, epoch, last, newest, self._since(attested, last) if proofs else 0)

    def _since(self, attested: Sequence[Any], last: int) -> int:
        """Return since when entries must have been begun: any time, where a relay attests this very server."""
        proof, server, (seconds, microseconds) = attested
        if proof is not None and proof == server:
            return 0
        return max(last, int(seconds) * 1_000_000 + int(microseconds)) - self._bound

    def proving(self) -> tuple[bytes, int]:
        """Return the commands that end a read, and how many replies they have: who attests, and are writes taken."""
        return (self._proof + self._probe, 4) if self._bound else (self._probe, 1)

    def proven_since(self, replies: Sequence[Any], last: int) -> int:
        """Return since when entries must have been begun, by the replies to `proving`."""
        return self._since(replies[:-1], last) if self._bound else 0

    def beat(self) -> tuple[Exchange, Callable[[Sequence[Any]], Beat]]:
        """Return the question how far the ledger is, and what reads the answer."""
        proof, proofs = (self._proof, 3) if self._bound else (b"", 0)

        def read(replies: Sequence[Any]) -> Beat:
            epoch, seq, last = replies[0]
            newest = int(last or 0)
            since = self._since(replies[1:], newest) if proofs else 0
            return Beat(epoch or b"", int(seq or 0), newest, since)

        return Exchange(pack("HMGET", self.root, "epoch", "seq", "last") + proof, 1 + proofs), read

    # Computing

    def begin(self, step: steps.Begin) -> Talk:
        """Take a read point and perhaps a lease."""
        token = os.urandom(8).hex() if step.lease else ""
        keys = (self.root, self._lease(step.key), self._wish(""))
        told = (new_epoch(), token, int(step.lease * 1000))
        farewell = partial(self._released, step.key, token) if token else None
        epoch, point, given, holder = yield from self._run("begin", keys, *told, farewell=farewell)
        return steps.Begun(epoch, int(point), given.decode(), holder.decode())

    def save(self, step: steps.Save) -> Talk:
        """Store, look whether the entry was born stale, and give the lease back, in one round trip."""
        ttl = ("PX", step.ttl) if step.ttl else ()
        ask = self.ask(step.tags)
        replies = yield Exchange(pack("SET", step.key, step.data, *ttl) + ask.payload, 1 + ask.replies)
        self.remember(step.key, step.tags)
        raised(replies)
        ask, replies = yield from self._completed(step.tags, ask, replies[1:])
        epoch, _, newest = self.points(ask, replies)
        if newest == NEVER:
            places = [place for place, _ in ask.layout.places]
            yield from self._run("mend", (self.root,), new_epoch(), *places)
        if step.token:
            yield from self.release(steps.Release(step.key, step.token))
        return steps.Saved(epoch, newest)

    def renew(self, step: steps.Renew) -> Talk:
        """Prolong a lease."""
        done = yield from self._run("renew", (self._lease(step.key),), step.token, int(step.lease * 1000))
        return bool(done)

    def release(self, step: steps.Release) -> Talk:
        """Give a lease back."""
        yield from self._run("release", self._held(step.key, step.token), step.token)

    def _released(self, key: str, token: str) -> bytes:
        """Return the packed command that gives a lease back, whether or not the server has seen it before."""
        keys = self._held(key, token)
        return pack("EVAL", scripts.script("release").source, len(keys), *keys, token)

    def _held(self, key: str, token: str) -> tuple[str, ...]:
        return self._lease(key), self._wish(token), self._bell(token)

    def wait(self, step: steps.Wait) -> Talk:
        """Block until the holder's bell rings; it rings for those too who come late."""
        milliseconds = max(1, int(step.seconds * 1000))
        command = pack("XREAD", "COUNT", 1, "BLOCK", milliseconds, "STREAMS", self._bell(step.holder), "0")
        replies = yield Exchange(command, 1, timeout=step.seconds + 1)
        return raised(replies)[0] is not None

    # Writing

    def invalidate(self, step: steps.Invalidate) -> Talk:
        """Move the points of tags to now. A server that refuses to write loses its root: everything is stale."""
        told = (step.why, step.by, told_as(step.tags), step.transaction)
        noted = (f"{{{self.prefix}}}:settled:{step.settles}",) if step.settles else ()
        keys = (self.root, self.events, *noted)
        try:
            point = yield from self._run("invalidate", keys, new_epoch(), BUCKET_LIMIT, *told, texts=step.tags)
        except ResponseError as error:
            if code_of(error) != "OOM":  # what else refuses this refuses DEL too
                raise
            yield from self._lose_root()
            return 0
        return int(point)

    def posted(self, step: steps.Invalidate, *, loaded: bool = True) -> tuple[bytes, int]:
        """Return an invalidation to be sent with something else, and how many replies will come."""
        talk = self.invalidate(step)
        wanted = next(talk)
        wanted = wanted if loaded else talk.send([NoScriptError("not loaded")])
        return wanted.payload, wanted.replies

    def intend(self, step: steps.Intend) -> Talk:
        """Put points a lease into the future; a server that is full loses its root instead."""
        told = (int(step.lease * 1_000_000), step.transaction, told_as(step.tags))
        keys = (self.root, self.events)
        try:
            yield from self._run("intend", keys, new_epoch(), BUCKET_LIMIT, *told, texts=step.tags)
        except ResponseError as error:
            if code_of(error) != "OOM":
                raise
            yield from self._lose_root()

    def _lose_root(self) -> Talk:
        raised((yield Exchange(pack("DEL", self.root), 1)))

    def withdraw(self, step: steps.Withdraw) -> Talk:
        """Take intents back."""
        keys = (self.root, self.events)
        yield from self._run("withdraw", keys, new_epoch(), BUCKET_LIMIT, step.transaction, texts=step.tags)

    def _run(
        self,
        name: str,
        keys: tuple[str, ...],
        *arguments: bytes | str | int,
        texts: Sequence[str] = (),
        farewell: Callable[[], bytes] | None = None,
    ) -> Talk:
        known = scripts.script(name)
        count = 3 + len(keys) + len(arguments) + 2 * len(texts)
        rest = framed(arguments) + b"".join(map(placed, texts))
        called = b"*%d\r\n%b%b" % (count, scripts.called(known.sha, keys), rest)
        (reply,) = yield Exchange(called, 1, farewell=farewell)
        if isinstance(reply, NoScriptError):
            whole = b"*%d\r\n%b%b" % (count, framed(("EVAL", known.source, len(keys), *keys)), rest)
            (reply,) = yield Exchange(whole, 1, farewell=farewell)
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def _lease(self, key: str) -> str:
        return f"{{{self.prefix}}}:lease:{key}"

    def _wish(self, token: str) -> str:
        return f"{{{self.prefix}}}:wish:{token}"

    def _bell(self, token: str) -> str:
        return f"{{{self.prefix}}}:bell:{token}"


def _told(told: Any, name: bytes) -> bytes:
    """Return one value out of a server's INFO; nothing where it tells none."""
    _, _, after = (told if isinstance(told, bytes) else b"").partition(name + b":")
    return after.partition(b"\r")[0]


def new_epoch() -> bytes:
    """Return the name of an epoch that may have to begin: eight random bytes."""
    return os.urandom(8)
