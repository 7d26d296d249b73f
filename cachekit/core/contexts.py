"""Leave blocks tidily: by an exception, by a cancelled task, in another context than they were entered in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar, Token
from typing import Any, TypeVar

Held = TypeVar("Held")

_going_on: set[asyncio.Task[Any]] = set()


async def unbroken(work: Coroutine[Any, Any, Any]) -> None:
    """Await what must come to its end, even where whoever awaits it is cancelled once more."""
    task = asyncio.get_running_loop().create_task(work)
    _going_on.add(task)
    task.add_done_callback(_going_on.discard)
    await asyncio.shield(task)


def put_back(variable: ContextVar[Held], token: Token[Held]) -> None:
    """Undo `variable.set()`; a dropped coroutine is closed in another context, where nothing is to be undone."""
    try:
        variable.reset(token)
    except ValueError:
        pass
