"""Speak to a server that nobody may read yet: it is another than the one that its ledger was written on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cachekit.core.steps import Invalidate
from cachekit.exceptions import StoreUnavailable

if TYPE_CHECKING:
    from cachekit.stores.redis import RedisStore
    from cachekit.stores.scripts import Talk

LUA = Path(__file__).parent / "lua"
ADOPT = (LUA / "ledger.lua").read_text() + (LUA / "adopt.lua").read_text()


def retell(store: RedisStore, tags: Sequence[str]) -> None:
    """Invalidate tags over connections that greet nobody. Raises StoreUnavailable."""
    _carry_out(store, store.ledger.invalidate(Invalidate(tuple(tags), "replay", "relay")))


def renounce(store: RedisStore) -> None:
    """Begin an epoch: nobody knows what the server has missed. Raises StoreUnavailable."""
    _carry_out(store, store.ledger.attach())


def adopt(store: RedisStore, former: bytes) -> None:
    """Keep the epoch that was written on a former server. Raises StoreUnavailable."""
    with store.guard():
        server: Any = store.client
        server.eval(ADOPT, 1, store.ledger.root, former)


def _carry_out(store: RedisStore, talk: Talk) -> None:
    from redis.exceptions import ResponseError  # noqa: PLC0415 - in memory all works without redis-py

    from cachekit.stores.wire import Wire  # noqa: PLC0415 - as above

    wire, answers = Wire(store.pool), None
    try:
        with store.guard():
            while True:
                wanted = talk.send(answers)  # type: ignore[arg-type]  # None begins it
                answers = wire.exchange(wanted.payload, wanted.replies)
    except StopIteration:
        return
    except ResponseError as error:
        raise StoreUnavailable(f"The cache server of alias '{store.alias}' answered: {error}") from error
    finally:
        wire.drop()
