"""One object for all that are equal: thousands of entries of a door share its name, its places and what is above it."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar, cast

T = TypeVar("T")


def one_of(value: T) -> T:
    """Return the first of all values that are equal to this one, as far as it is remembered."""
    return cast("T", _first(value))


@lru_cache(maxsize=4096)
def _first(value: object) -> object:
    return value
