"""Send to a server what nobody waits for, or not yet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from cachekit.core import steps
from cachekit.exceptions import StoreUnavailable
from cachekit.stores.base import Promise

if TYPE_CHECKING:
    from cachekit.stores.redis import RedisStore


def post(store: RedisStore, step: steps.Invalidate, lost: Callable[[], object]) -> None:
    """Send an invalidation and go on; `lost` is called where it turns out not to have been carried out."""

    def heard(replies: list[Any] | None) -> None:
        if not _is_done(replies):
            lost()

    with store.guard(insists=True):
        store.wire.post(*store.ledger.posted(step), heard)


def promise(store: RedisStore, step: steps.Intend) -> Promise:
    """Send intents and go on; what is returned waits for the answer and tells whether they stand.

    Raises StoreUnavailable, now or when it is waited for.
    """
    answers: list[bool] = []
    wanted = next(store.ledger.intend(step))
    with store.guard(insists=True):
        line = store.wire.post(wanted.payload, wanted.replies, lambda replies: answers.append(_is_done(replies)))

    def stands() -> bool:
        if not answers:
            with store.guard(insists=True):
                store.wire.hear_on(line)
        return answers == [True]

    return stands


def hear(store: RedisStore) -> bool:
    """Read the answers to what was posted; tell whether there were any to read."""
    owes = store.wire.owes
    if owes:
        with suppress(StoreUnavailable), store.guard():
            store.wire.hear()
    return owes


def _is_done(replies: list[Any] | None) -> bool:
    """Tell whether what was posted arrived, and was not refused."""
    return replies is not None and not isinstance(replies[0], ResponseError)
