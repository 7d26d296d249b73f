"""What every store can do: carry out the steps of a plan, called or awaited."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from cachekit.core.entry import Found
from cachekit.core.mirror import Mirror
from cachekit.core.samples import Samples
from cachekit.core.steps import Intend, Invalidate, Step

Promise = Callable[[], bool]
"""Waits for the answer to intents that were sent, and tells whether they stand."""


class Store(Protocol):
    """Where entries and their ledger live."""

    alias: str
    prefix: str
    samples: Samples
    """Read points that this process was given lately."""
    troubles: int
    """How often this process saw the store away."""

    @property
    def suspect(self) -> bool:
        """Tell whether the store may have missed writes: nothing can be loaded until `got_over`."""

    def got_over(self, troubles: int) -> None:
        """Note that whatever was missed in so many troubles has been told."""

    def load(self, key: str) -> Found:
        """Return an entry with the newest point among its tags, in one round trip. Raises StoreUnavailable."""

    async def aload(self, key: str) -> Found:
        """Like `load`."""

    def do(self, step: Step) -> Any:
        """Carry out a step. Raises StoreUnavailable."""

    async def ado(self, step: Step) -> Any:
        """Like `do`."""

    @property
    def evicts(self) -> bool:
        """Tell whether what the ledger knows may be evicted, intents before they are settled."""

    def post(self, step: Invalidate, lost: Callable[[], object]) -> None:
        """Carry out a step without waiting for it; `lost` is called if it turns out not to have been carried out.

        What this thread asks of the store from now on comes after it. Raises StoreUnavailable.
        """

    def promise(self, step: Intend) -> Promise:
        """Put intents without waiting for the answer; what is returned waits for it. Raises StoreUnavailable."""

    def hear(self) -> bool:
        """Look whether what was posted has been carried out; tell whether there was anything to look for."""

    def now(self) -> int:
        """Return the ledger's time in microseconds, as well as this process knows it."""

    def follow(self) -> Mirror | None:
        """Have this process's mirror of the ledger kept from now on; None where the ledger is in this process."""

    def hold(self, *, on: bool) -> None:
        """Have nothing judged by the mirror while this process owes the store an invalidation."""

    def key(self, *parts: str) -> str:
        """Return the name of an entry."""

    def slot_key(self, name: str) -> str:
        """Return the name of something that lives beside the ledger."""

    def guard(self) -> AbstractContextManager[None]:
        """Turn connection trouble inside into StoreUnavailable, counted by the breaker."""

    def reset(self) -> None:
        """Forget what this process knows of the store (connections, breaker), not what the store holds."""
