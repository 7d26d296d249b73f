"""Send a transaction's intents with its first write, and read the answer before its COMMIT.

So nobody waits for it: the cache server works while the database carries out the write. Entries are stale for the time
between, so it is done only where a connection's transactions have been short of late, and wrote no more than their
first statement said.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from secrets import token_hex
from typing import Any, NamedTuple

from django.db import connections

from cachekit import intents
from cachekit.orm.ongoing import Transaction
from cachekit.stores.base import Promise

SHORT = 0.005
"""Seconds from a transaction's first write to its COMMIT, at the most, for the next one to be taken for as short."""
ENOUGH = 3
"""So many short ones in a row."""
LASTS = 0.02
"""Seconds after which intents are announced again: the server that took them may have gone, and their lease runs."""


class Early(NamedTuple):
    """What was known at a transaction's first write, and the intents that were sent then, if any."""

    began: float
    tags: frozenset[str]
    mark: str = ""
    promises: tuple[tuple[str, Promise], ...] = ()


class Announced(NamedTuple):
    """Intents as they stand before a COMMIT: whose they are, since when, and which aliases have not got them.

    Of each of these, whether it hangs: it is not told of them again.
    """

    mark: str
    began: float
    missed: dict[str, bool]


def began(connection: Any, one: Transaction) -> None:
    """Note a transaction's first write, and send its intents if it promises to be short."""
    now, told = time.monotonic(), frozenset(one.tags)
    if connection.__dict__.get("_cachekit_short", 0) < ENOUGH or is_test_case(connection):
        one.early = Early(now, told)
        return
    mark = token_hex(8)
    one.early = Early(now, told, mark, tuple(intents.promised(told, mark)))


def announced(connection: Any, one: Transaction | None, told: Collection[str]) -> Announced:
    """Have the intents of these tags stand: those sent early, where they are enough, else by a round trip."""
    early, now = (None if one is None else one.early), time.monotonic()
    if one is None or early is None:
        return announce(told)
    one.early = None
    whole, short = early.tags.issuperset(told), now - early.began < SHORT
    connection.__dict__["_cachekit_short"] = connection.__dict__.get("_cachekit_short", 0) + 1 if whole and short else 0
    if early.mark and whole and now - early.began < LASTS:
        missed = intents.fallen(early.promises)
        if again := [one for one, hangs in missed.items() if not hangs]:
            missed = dict.fromkeys(missed.keys() - again, True) | intents.announce(told, early.mark, again)
        return Announced(early.mark, early.began, missed)
    return announce(told, early.mark)


def announce(told: Collection[str], mark: str = "") -> Announced:
    """Put the intents of these tags, and wait until they stand."""
    mark, now = mark or token_hex(8), time.monotonic()
    return Announced(mark, now, intents.announce(told, mark))


def dropped(one: Transaction) -> None:
    """Take back what was sent early: the transaction ends without a COMMIT."""
    early, one.early = one.early, None
    if early is not None and early.mark:
        intents.withdraw(early.tags, early.mark)


def forget() -> None:
    """Forget how short the transactions of this thread's connections have been: for tests."""
    for connection in connections.all(initialized_only=True):
        connection.__dict__.pop("_cachekit_short", None)


def is_test_case(connection: Any) -> bool:
    """Tell whether a test case's transaction is open, which will never commit."""
    blocks = connection.atomic_blocks
    return bool(blocks) and blocks[0]._from_testcase  # noqa: SLF001 - Django's own mark, as `durable` uses it
