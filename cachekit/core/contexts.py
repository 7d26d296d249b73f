"""Give context variables back what they held, wherever a block happens to be left."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TypeVar

Held = TypeVar("Held")


def put_back(variable: ContextVar[Held], token: Token[Held]) -> None:
    """Undo `variable.set()`; a dropped coroutine is closed in another context, where nothing is to be undone."""
    try:
        variable.reset(token)
    except ValueError:
        pass
