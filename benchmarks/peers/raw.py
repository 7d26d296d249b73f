"""The floors: redis-py without a library around it, and a bare socket with hiredis."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.peers.base import Peer


class RedisPy(Peer):
    """redis-py: bytes in, bytes out."""

    name, title, package, distribution = "redis-py", "redis-py alone", "redis", "redis"
    families = frozenset({"values"})
    without = frozenset({"get-rows", "get-instances"})

    def cache(self) -> Any:
        """Return a client."""
        return Plain(self.location())


class Socket(RedisPy):
    """One connection, commands joined by hand, answers read by hiredis."""

    name, title, package, distribution = "socket", "socket + hiredis", "hiredis", "hiredis"
    without = RedisPy.without | {"incr"}

    def cache(self) -> Any:
        """Return the connection."""
        return Wire(int(os.environ["BENCH_REDIS_PORT"]), int(os.environ["BENCH_REDIS_NUMBER"]))


class Plain:
    """redis-py under the names that Django's caches have."""

    def __init__(self, url: str) -> None:
        import redis

        self.client = redis.Redis.from_url(url)
        self.get, self.incr = self.client.get, self.client.incr

    def set(self, key: str, value: Any, timeout: int) -> None:
        """Store a value."""
        self.client.set(key, value, ex=timeout)

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return what there is."""
        found: Any = self.client.mget(keys)
        return {key: value for key, value in zip(keys, found, strict=True) if value is not None}

    def set_many(self, values: Mapping[str, Any], timeout: int) -> None:
        """Store the values in a pipeline without a transaction."""
        with self.client.pipeline(transaction=False) as pipeline:
            for key, value in values.items():
                pipeline.set(key, value, ex=timeout)
            pipeline.execute()


class Wire:
    """A connection that speaks RESP2."""

    def __init__(self, port: int, number: int) -> None:
        import hiredis

        self.link = socket.create_connection(("127.0.0.1", port))
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = hiredis.Reader()
        self.send, self.receive, self.feed, self.gets = (
            self.link.sendall,
            self.link.recv,
            self.reader.feed,
            self.reader.gets,
        )
        self._asked(_packed(b"SELECT", b"%d" % number))

    def get(self, key: str) -> Any:
        """Return a value."""
        return self._asked(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode()))

    def set(self, key: str, value: Any, timeout: int) -> None:
        """Store a value."""
        self._asked(_stored(key, _bytes(value), timeout))

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return what there is."""
        found = self._asked(_packed(b"MGET", *map(str.encode, keys)))
        return {key: value for key, value in zip(keys, found, strict=True) if value is not None}

    def set_many(self, values: Mapping[str, Any], timeout: int) -> None:
        """Store the values by commands in one buffer."""
        self.send(b"".join([_stored(key, _bytes(value), timeout) for key, value in values.items()]))
        left = len(values)
        while left:
            self.feed(self.receive(65_536))
            while left and self.gets() is not False:
                left -= 1

    def _asked(self, payload: bytes) -> Any:
        self.send(payload)
        self.feed(self.receive(65_536))
        while (answer := self.gets()) is False:
            self.feed(self.receive(65_536))
        return answer


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else b"%d" % value


def _packed(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%s\r\n" % (len(word), word) for word in words])


def _stored(key: str, value: bytes, timeout: int) -> bytes:
    parts = (len(key), key.encode(), len(value), value, len(str(timeout)), timeout)
    return b"*5\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n$2\r\nEX\r\n$%d\r\n%d\r\n" % parts


PEERS: dict[str, Peer] = {"redis-py": RedisPy(), "socket": Socket()}
