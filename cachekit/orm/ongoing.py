"""The transactions that are open here: since when, on which connection, and what they have written."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection
from contextvars import ContextVar
from typing import Any
from weakref import ref

from django.db.backends.base.base import BaseDatabaseWrapper

_local = threading.local()


class Transaction:
    """A transaction of one connection, from before its first statement until its end."""

    __slots__ = ("_connection", "began", "early", "locks", "named", "over", "tags")

    def __init__(self, connection: BaseDatabaseWrapper, began: float) -> None:
        self._connection = ref(connection)
        self.began = began
        """A moment (monotonic) before its first statement; minus infinity where nobody saw it begin."""
        self.tags: dict[str, None] = {}
        self.named: dict[str, None] = {}
        """What was invalidated by hand meanwhile: it is told once more at the commit."""
        self.locks = False
        """Whether it has asked for rows to be locked: what is read after that must be what is committed."""
        self.over = False
        self.early: Any = None
        """What was sent with its first write."""

    @property
    def connection(self) -> Any:
        """Return its connection, None if that is gone."""
        return self._connection()


_context: ContextVar[tuple[Transaction, ...]] = ContextVar("cachekit_transactions", default=())
"""Those that began, or wrote, in this context: `async_to_sync` awaits on another thread than that of the transaction,
and what it awaits may write in tasks of its own."""


def begin(connection: BaseDatabaseWrapper) -> None:
    """Note that a transaction is about to begin, with the next statement at the earliest."""
    end(connection)
    _register(connection, Transaction(connection, time.monotonic()))


def end(connection: BaseDatabaseWrapper) -> None:
    """Note that there is no transaction any more."""
    one: Transaction | None = connection.__dict__.pop("_cachekit_transaction", None)
    if one is None:
        return
    one.over = True
    _mine().pop(one, None)
    if one in (here := _context.get()):
        _context.set((*(other for other in here if not other.over),))


def of(connection: BaseDatabaseWrapper) -> Transaction | None:
    """Return the open transaction of a connection, if one was seen to begin or to write."""
    return connection.__dict__.get("_cachekit_transaction")


def writing(connection: BaseDatabaseWrapper) -> Transaction:
    """Return the open transaction of a connection, known from now on to whoever writes here."""
    one = of(connection) or Transaction(connection, -math.inf)
    _register(connection, one)
    return one


def locking(connection: BaseDatabaseWrapper) -> None:
    """Note that the open transaction is about to lock rows."""
    if not commits_by_itself(connection):
        writing(connection).locks = True


def here() -> Collection[Transaction]:
    """Return the open transactions of this thread and of this context."""
    mine, inherited = getattr(_local, "transactions", None), _context.get()
    if not mine and not inherited:
        return ()
    return {one for one in (*(mine or ()), *inherited) if not one.over}


def commits_by_itself(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether every statement on a connection is a transaction of its own."""
    return not connection.in_atomic_block and connection.get_autocommit() and not is_begun_by_hand(connection)


def is_begun_by_hand(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether a transaction was begun past Django: `cursor.execute("BEGIN")`."""
    return "_cachekit_by_hand" in connection.__dict__


def _register(connection: BaseDatabaseWrapper, one: Transaction) -> None:
    connection.__dict__["_cachekit_transaction"] = one
    _mine()[one] = None
    if one not in (known := _context.get()):
        _context.set((*(other for other in known if not other.over), one))


def _mine() -> dict[Transaction, None]:
    if not hasattr(_local, "transactions"):
        _local.transactions = {}
    found: dict[Transaction, None] = _local.transactions
    return found
