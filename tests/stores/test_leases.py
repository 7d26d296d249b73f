"""Leases are renewed while their computation runs, and no longer."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from cachekit.stores.leases import Keeper
from tests.patience import until


class Renewals:
    """Counts; says for how long the lease is held."""

    def __init__(self, held: int = 100, error: Exception | None = None) -> None:
        self.times = 0
        self.held = held
        self.error = error

    def __call__(self) -> bool:
        """Renew."""
        self.times += 1
        if self.error:
            raise self.error
        return self.times <= self.held


def test_a_lease_is_renewed_until_the_block_ends() -> None:
    keeper, renewals = Keeper(), Renewals()

    with keeper.keeping(0.06, renewals):
        until(lambda: renewals.times >= 3)
    after = renewals.times
    time.sleep(0.1)

    assert renewals.times <= after + 1
    assert not keeper._jobs


@pytest.mark.parametrize("renewals", [Renewals(held=1), Renewals(error=OSError("away"))])
def test_a_lost_lease_is_given_up_and_the_others_kept(renewals: Renewals) -> None:
    keeper, other = Keeper(), Renewals()

    with keeper.keeping(0.06, renewals), keeper.keeping(0.06, other):
        until(lambda: other.times >= 6)

    assert renewals.times <= 2


def keepers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "cachekit-leases"}


def test_no_lease_starts_no_thread() -> None:
    keeper, before = Keeper(), keepers()

    with keeper.keeping(0, Renewals()):
        assert keepers() <= before


def test_without_a_thread_a_lease_is_not_kept_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with Keeper().keeping(0.01, Renewals()):
        pass


def test_one_thread_keeps_all() -> None:
    keeper, before, renewals = Keeper(), keepers(), [Renewals() for _ in range(20)]

    with ExitStack() as stack:
        for one in renewals:
            stack.enter_context(keeper.keeping(0.09, one))
        until(lambda: all(one.times >= 2 for one in renewals))

        assert len(keepers() - before) == 1


def test_a_short_lease_after_a_long_one_is_renewed_in_time() -> None:
    keeper, renewals = Keeper(), Renewals()

    with keeper.keeping(60, Renewals()), keeper.keeping(0.06, renewals):
        until(lambda: renewals.times >= 2)
