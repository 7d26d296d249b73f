"""What is read through the ORM, from PostgreSQL or instead of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from benchmarks.families.base import Call, Operation, proved
from benchmarks.peers.base import Peer

FIRST_COLD = 10_001
"""Rows from here on are read once each."""


def statements(call: Call) -> int:
    """Return how many statements a call sends to the database."""
    from django.db import connection

    sent = []

    def seen(execute: Callable[..., Any], *args: Any) -> Any:
        sent.append(1)
        return execute(*args)

    with connection.execute_wrapper(seen):
        call()
    return len(sent)


def hit(ask: Callable[[Any], Any], right: Callable[[Any], bool], *, single: bool = False) -> Callable[[Peer], Call]:
    """Make an operation that finds a result; without a cache it asks the database."""

    def make(peer: Peer) -> Call:
        source = peer.row_source() if single else peer.source()

        def call() -> Any:
            return ask(source())

        for _ in range(3):
            proved(right(call()), f"{peer.name} returned a wrong result")
        wanted = 1 if peer.name == "uncached" else 0
        proved(statements(call) == wanted, f"{peer.name} asked the database {statements(call)} times, not {wanted}")
        return call

    return make


def cold(peer: Peer) -> Call:
    """Make an operation that reads a row for the first time, and keeps it."""
    source, numbers = peer.row_source(), itertools.count(FIRST_COLD)

    def call() -> Any:
        return source().get(pk=next(numbers))

    proved(statements(call) == 1, f"{peer.name} does not read a row for the first time by one statement")
    return call


OPERATIONS = (
    Operation(
        "get-row", "rows", "get(pk), hit", hit(lambda it: it.get(pk=7), lambda row: bool(row.pk == 7), single=True)
    ),
    Operation(
        "filter",
        "rows",
        "filter()[:20], hit",
        hit(lambda it: list(it.filter(category=3).order_by("pk")[:20]), lambda rows: len(rows) == 20),
    ),
    Operation("count", "rows", "count(), hit", hit(lambda it: it.filter(category=3).count(), lambda n: bool(n == 100))),
    Operation("cold", "rows", "get(pk), cold: miss and store", cold, hit=False),
)
