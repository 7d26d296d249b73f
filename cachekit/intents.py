"""Tell every cachekit cache that a commit is about to come."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial

from cachekit import tenants
from cachekit.core.steps import Intend, Withdraw
from cachekit.exceptions import StoreUnavailable
from cachekit.stores import aliases, store_for
from cachekit.stores.base import Promise


def announce(told: Collection[str], mark: str, only: Collection[str] = ()) -> dict[str, bool]:
    """Put intents: a commit that changes these tags is about to come.

    Return the aliases that have not got them, and of each whether it hangs: nobody should announce it there again.
    """
    return _done(Intend(tuple(tenants.spread(told)), mark), only or aliases())


def withdraw(told: Collection[str], mark: str, but: Collection[str] = ()) -> None:
    """Take intents back: the commit was refused. Where that fails, or is not tried, they pass by themselves."""
    _done(Withdraw(tuple(tenants.spread(told)), mark), [one for one in aliases() if one not in but])


def promised(told: Collection[str], mark: str) -> list[tuple[str, Promise]]:
    """Send intents and do not wait: each alias has a promise, which waits for it and tells whether they stand there."""
    step = Intend(tuple(tenants.spread(told)), mark)
    return [(one, _sent(one, step)) for one in aliases()]


def fallen(promises: Iterable[tuple[str, Promise]]) -> dict[str, bool]:
    """Return the aliases where promised intents do not stand, as `announce` does."""
    found = {}
    for one, stands in promises:
        try:
            if not stands():
                found[one] = False
        except StoreUnavailable as error:
            found[one] = error.hung
    return found


def _sent(alias: str, step: Intend) -> Promise:
    try:
        return store_for(alias).promise(step)
    except StoreUnavailable as error:
        return partial(_break, error)


def _break(error: StoreUnavailable) -> bool:
    raise error


def _done(step: Intend | Withdraw, where: Iterable[str]) -> dict[str, bool]:
    missed = {}
    for one in where:
        try:
            store_for(one).do(step)
        except StoreUnavailable as error:
            missed[one] = error.hung
    return missed
