"""A function whose result is kept."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

from benchmarks.families.base import Call, Operation, proved
from benchmarks.peers.base import Peer

VALUE = {"name": "diamond", "price": 326, "tags": ["ideal", "E", "SI2"]}
computed = itertools.count(1)


def product(number: int) -> Any:
    """Return a small value, and count."""
    next(computed)
    return VALUE


def function(peer: Peer) -> Call:
    """Make an operation that calls a function whose result is a hit."""
    call = partial(peer.function(product), 42)
    for _ in range(3):
        proved(call() == VALUE, f"{peer.name} returns something else")
    before, _, after = next(computed), call(), next(computed)
    proved(after - before == 1, f"{peer.name}: the function is no hit")
    return call


OPERATIONS = (Operation("function", "functions", "function, hit", function),)
