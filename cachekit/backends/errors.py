"""Errors that are both cachekit's and what Django's contract promises."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cachekit.exceptions import UncacheableValue


class UnpicklableValue(UncacheableValue, pickle.PicklingError):
    """A value that does not pickle; Django's contract wants a PickleError, pickle itself often raises others."""


@contextmanager
def pickling(value: Any) -> Iterator[None]:
    """Raise UnpicklableValue for what goes wrong inside because the value does not pickle."""
    try:
        yield
    except (pickle.PickleError, TypeError, AttributeError, RecursionError):
        try:
            pickle.dumps(value)
        except Exception as reason:  # __reduce__ and __getstate__ may raise anything
            raise unpicklable(value, reason) from reason
        raise


def unpicklable(value: Any, reason: Exception) -> UnpicklableValue:
    """Return the error that says which type does not pickle, and what to do."""
    return UnpicklableValue(
        f"A value of type {type(value).__qualname__} cannot be pickled ({type(reason).__name__}: {reason}). "
        "Store plain data instead, for example list(queryset) or a dict."
    )
