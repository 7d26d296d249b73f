"""The memo of a request: what was read once in it, so that the second time asks nobody.

What the request itself writes or invalidates is forgotten at once; the rest stays as it was read until it ends.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, TypeVar

from asgiref.sync import iscoroutinefunction

from cachekit import hooks, tenants
from cachekit.core.capture import current
from cachekit.core.copies import copier_for, shared
from cachekit.core.entry import NEVER, Header
from cachekit.core.mirror import name_of, names_of
from cachekit.core.plans import Answer
from cachekit.core.policy import Spec
from cachekit.stores import store_for

MOST = 1000
"""So many values a memo holds; the oldest goes first."""
MOST_WRITTEN = 10_000
"""So many written tags it remembers; with more it forgets every value."""

P = ParamSpec("P")
R = TypeVar("R")
Copier = Callable[[Any], Any]


class Held:
    """One value, with what it takes to hand it out."""

    __slots__ = ("checked", "copy", "deadline", "header", "value", "version")

    def __init__(self, value: Any, copy: Copier, header: Header, checked: int, version: int) -> None:
        self.value = value
        self.copy = copy
        self.header = header
        self.checked = checked
        """The ledger time at which it was known to be fresh."""
        self.version = version
        """Nothing that it depends on was written here up to this version of the memo."""
        self.deadline = math.inf
        """Until when (monotonic) it is handed out."""


class Memo:
    """The values of one request; threads and tasks that work for it share them."""

    def __init__(self, around: Memo | None = None) -> None:
        self.around = around
        self.version = 0
        self._held: dict[tuple[str, str], Held] | None = {}
        self._written: dict[bytes, int] = {}
        self._floor = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held or ())

    def get(self, spec: Spec) -> Held | None:
        """Return what is held, counted as a hit and known to what is computed around it; None asks further.

        A computation is given only what was fresh after it began: others may get what comes of it.
        """
        entries = self._held
        held = entries.get((spec.alias, spec.key)) if entries else None
        if held is None or time.monotonic() >= held.deadline or not self._stands(held):
            return None
        outer = current.get()
        if outer is not None:
            if held.checked < outer.began or held.header.epoch != outer.epoch:
                return None
            outer.take_in(held.header, held.checked)
        hooks.looked_up(spec.hit or hooks.Lookup(spec.alias, spec.door, spec.name, "hit"))
        return held

    def kept(self, spec: Spec, version: int, answer: Answer) -> Any:
        """Hold what was asked for at a version of this memo, if it can be; return what its reader gets."""
        header, entries = answer.header, self._held
        if header is None or entries is None or answer.born_stale:
            return answer.value
        copy, value = copier_for(answer.value), answer.value
        if copy is None and not answer.payload:
            return answer.value
        if copy is None:
            value, copy = answer.payload, spec.codec.loads
        elif copy is not shared:
            value = copy(value)  # who computed it may hold the original
        held = Held(value, copy, header, answer.read_point, version)
        if header.expiry != NEVER:
            held.deadline = time.monotonic() + (header.expiry - store_for(spec.alias).now()) / 1_000_000
        with self._lock:
            before = entries.get((spec.alias, spec.key))
            if before is None or before.checked <= held.checked:  # another task may have read something newer meanwhile
                entries[spec.alias, spec.key] = held
            while len(entries) > MOST:
                del entries[next(iter(entries))]
        return answer.value

    def drop(self, spec: Spec) -> None:
        """Forget a value."""
        with self._lock:
            if self._held is not None:
                self._held.pop((spec.alias, spec.key), None)

    def forget(self, texts: Iterable[str]) -> None:
        """Note that tags were written here."""
        with self._lock:
            version = self.version + 1
            if len(self._written) > MOST_WRITTEN:
                self._written, self._floor = {}, version
            self._written.update(dict.fromkeys(map(name_of, texts), version))
            self.version = version  # after the tags: who has seen it has seen them
        if self.around is not None:
            self.around.forget(texts)

    def close(self) -> None:
        """Hold nothing from now on, whoever still works for the request."""
        self._held = None

    def _stands(self, held: Held) -> bool:
        """Tell whether nothing that a value depends on was written here since it was asked for."""
        version = self.version  # before the look: what comes meanwhile makes another
        if held.version == version:
            return True
        written = self._written
        newest = max(written.get(name, 0) for name in names_of(held.header.tags))
        if held.version < max(newest, self._floor):
            return False
        held.version = version
        return True


scope: Final[ContextVar[Memo | None]] = ContextVar("cachekit_memo", default=None)


class memo:  # noqa: N801 - used like a function
    """Remember inside what was read: `with memo():`, or `@memo()` on a function, a coroutine function or a task.

    The same entry asked for twice costs a look into a dict. Values read once stay what they were until the block ends,
    whatever others write meanwhile; what is written or invalidated inside is read anew.
    """

    def __init__(self, *mistaken: object) -> None:
        if mistaken:
            raise TypeError("memo takes nothing: write @memo() with brackets above a function, or with memo():")
        self._memo: Memo | None = None

    def __enter__(self) -> None:
        self._memo = Memo(scope.get())
        scope.set(self._memo)

    def __exit__(self, *_: object) -> None:
        mine, self._memo = self._memo, None
        if mine is None:
            return
        mine.close()
        if scope.get() is mine:
            scope.set(mine.around)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function with a memo for each of its calls."""
        if iscoroutinefunction(function):

            @functools.wraps(function)
            async def acall(*args: P.args, **kwargs: P.kwargs) -> Any:
                with memo():
                    return await function(*args, **kwargs)

            return acall  # type: ignore[return-value]  # what it returns is awaited, as R is

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with memo():
                return function(*args, **kwargs)

        return call


def forget(texts: Iterable[str]) -> None:
    """Tell the memo of this context, if there is one, what was written or invalidated in it."""
    mine = scope.get()
    if mine is not None:
        mine.forget(tuple(tenants.spread(texts)))
