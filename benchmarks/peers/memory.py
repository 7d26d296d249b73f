"""What entries weigh: in the process, and on the server."""

from __future__ import annotations

import gc
import os
import pickle
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

from benchmarks.families.base import proved
from benchmarks.peers.base import Peer

FIRST_ROW = 30_001
"""Rows from here on are read by nobody else."""
TAGS = ("shop.product#42", "shop.category", "homepage")


def hundred(number: int) -> str:
    """Return a string of 100 characters."""
    return f"{number:0100d}"


def near(peer: Peer, count: int) -> dict[str, float]:
    """Return the bytes that a value of 100 characters takes in the process, beside the string itself."""
    cache = peer.cache()

    def kept(number: int) -> Any:
        name = f"weighed:{number:08d}"
        found = cache.get(name)
        if found is None:
            cache.set(name, hundred(number), 3600)
        return found

    return weighed(peer, kept, count)


def results(peer: Peer, count: int) -> dict[str, float]:
    """Like `near`, for a function's results, with all that is remembered of what they depend on."""
    return weighed(peer, peer.function(hundred), count)


def weighed(peer: Peer, kept: Callable[[int], Any], count: int) -> dict[str, float]:
    """Return what a call with each number leaves in the process."""
    for number in range(50):
        kept(number)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(50, count):
        for _ in range(3):
            kept(number)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    each, value = (after - before) / (count - 50), sys.getsizeof("x" * 100)
    proved(each > value, f"{peer.name} keeps nothing in the process")
    return {"entry": each, "overhead": each - value}


def entries(peer: Peer, count: int) -> dict[str, float]:
    """Return the bytes of an entry with three shared tags on the server, and of a plain key with the same payload."""
    from cachekit import cached
    from cachekit.core.capture import depend

    @cached(3600, jitter=0)
    def shared_three(number: int) -> str:
        depend(*TAGS)
        return f"{number:0100d}"

    client = server()
    for number in range(count):
        shared_three(number)
    keys = list(client.scan_iter(match="*shared_three*", count=1000))[:count]
    payload = pickle.dumps(f"{0:0100d}", pickle.HIGHEST_PROTOCOL)
    client.set(b"p" * len(keys[0]), payload, px=3_600_000)
    plain = client.memory_usage(b"p" * len(keys[0]))
    entry = sum(client.memory_usage(key) for key in keys) / len(keys)
    header = client.strlen(keys[0]) - len(payload)
    return {"entry": entry, "plain": plain, "overhead": entry - plain, "envelope": header}


def rows(peer: Peer, count: int) -> dict[str, float]:
    """Return the bytes that a query of one row takes on the server in all."""
    client, source = server(), peer.row_source()
    for number in range(50):
        source().get(pk=FIRST_ROW + number)
    keys, before = client.dbsize(), held(client)
    for number in range(50, count):
        source().get(pk=FIRST_ROW + number)
    proved(client.dbsize() - keys >= count - 50, f"{peer.name} did not keep every row")
    return {"entry": (held(client) - before) / (count - 50)}


def held(client: Any) -> int:
    """Return the bytes of all keys of a database, each with what it costs to find it."""
    return sum(client.memory_usage(key, samples=0) or 0 for key in client.scan_iter(count=1000))


def server() -> Any:
    """Return a client of the peer's database."""
    import redis

    return redis.Redis(port=int(os.environ["BENCH_REDIS_PORT"]), db=int(os.environ["BENCH_REDIS_NUMBER"]))
