"""Values by key, as through `caches["default"]`; a coroutine function is awaited."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.families.base import Call, Operation, proved
from benchmarks.peers.base import Peer

SMALL, LARGE = "x" * 100, "x" * 10_000
ROWS = [{"id": number, "name": f"row {number}", "price": number * 1.5} for number in range(50)]
MANY = {f"many:{number}": SMALL for number in range(100)}


def instances() -> list[Any]:
    """Return 20 model instances."""
    from benchmarks.shop.models import made

    return [made(number) for number in range(1, 21)]


def got(value: Callable[[], Any], name: str) -> Callable[[Peer], Call]:
    """Make an operation that reads a value."""

    def make(peer: Peer) -> Call:
        cache, expected = peer.cache(), value()
        cache.set(name, expected, 3600)
        call = partial(cache.get, name)
        for _ in range(3):
            proved(same(call(), expected), f"{peer.name} returned another value than was stored")
        return call

    return make


def nothing(peer: Peer) -> Call:
    """Make an operation that finds nothing."""
    call = partial(peer.cache().get, "nothing")
    proved(call() is None, f"{peer.name} found what was not stored")
    return call


def stored(peer: Peer) -> Call:
    """Make an operation that stores a value."""
    cache = peer.cache()
    call = partial(cache.set, "stored", SMALL, 600)
    call()
    proved(same(cache.get("stored"), SMALL), f"{peer.name} did not store")
    return call


def counted(peer: Peer) -> Call:
    """Make an operation that counts."""
    cache = peer.cache()
    cache.set("counter", 1, 3600)
    call = partial(cache.incr, "counter")
    proved(call() == 2, f"{peer.name} cannot count")
    return call


def got_many(peer: Peer) -> Call:
    """Make an operation that reads a hundred values."""
    cache = peer.cache()
    cache.set_many(MANY, 3600)
    call = partial(cache.get_many, list(MANY))
    for _ in range(3):
        found = call()
        proved(len(found) == 100 and all(same(one, SMALL) for one in found.values()), f"{peer.name}: wrong values")
    return call


def stored_many(peer: Peer) -> Call:
    """Make an operation that stores a hundred values."""
    cache = peer.cache()
    values = {f"other:{number}": SMALL for number in range(100)}
    call = partial(cache.set_many, values, 600)
    call()
    proved(same(cache.get("other:99"), SMALL), f"{peer.name} did not store")
    return call


def awaited(peer: Peer) -> Call:
    """Make an operation that is awaited."""
    cache = peer.cache()
    cache.set("awaited", SMALL, 3600)
    proved(cache.get("awaited") == SMALL, f"{peer.name} returned another value than was stored")
    return partial(cache.aget, "awaited")


def same(found: Any, expected: Any) -> bool:
    """Tell whether a value came back; the floors return bytes."""
    return bool(found == expected) or (isinstance(expected, str) and found == expected.encode())


OPERATIONS = (
    Operation("get-100", "values", "get, 100 characters", got(lambda: SMALL, "small")),
    Operation("get-10k", "values", "get, 10,000 characters", got(lambda: LARGE, "large")),
    Operation("get-rows", "values", "get, 50 rows of dicts", got(lambda: ROWS, "rows")),
    Operation("get-instances", "values", "get, 20 instances", got(instances, "instances")),
    Operation("get-nothing", "values", "get, nothing there", nothing, hit=False),
    Operation("set", "values", "set, 100 characters", stored, hit=False),
    Operation("incr", "values", "incr", counted, hit=False),
    Operation("get-many", "values", "get_many, 100 keys", got_many, hit=False),
    Operation("set-many", "values", "set_many, 100 keys", stored_many, hit=False),
    Operation("aget-100", "awaited", "aget, 100 characters", awaited, "awaited"),
    Operation("get-beside", "awaited", "get, in the same rounds", got(lambda: SMALL, "beside"), "awaited"),
)
