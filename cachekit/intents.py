"""Tell every cachekit cache that a commit is about to come."""

from __future__ import annotations

from collections.abc import Collection

from cachekit import tenants
from cachekit.core.steps import Intend, Withdraw
from cachekit.exceptions import StoreUnavailable
from cachekit.stores import aliases, store_for
from cachekit.stores.base import Promise


def announce(told: Collection[str], mark: str) -> list[str]:
    """Put intents: a commit that changes these tags is about to come. Return the aliases that have not got them."""
    return _everywhere(Intend(tuple(tenants.spread(told)), mark))


def withdraw(told: Collection[str], mark: str) -> None:
    """Take intents back: the commit was refused. Where that fails they pass by themselves."""
    _everywhere(Withdraw(tuple(tenants.spread(told)), mark))


def promised(told: Collection[str], mark: str) -> list[Promise]:
    """Send intents and do not wait: each promise waits for one cache, and tells whether they stand there."""
    step, made = Intend(tuple(tenants.spread(told)), mark), []
    for one in aliases():
        try:
            made.append(store_for(one).promise(step))
        except StoreUnavailable:
            made.append(_broken)
    return made


def _broken() -> bool:
    return False


def _everywhere(step: Intend | Withdraw) -> list[str]:
    missed = []
    for one in aliases():
        try:
            store_for(one).do(step)
        except StoreUnavailable:
            missed.append(one)
    return missed
