"""What an operation is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.peers.base import Peer

Call = Callable[[], Any]


class Operation(NamedTuple):
    """One thing that libraries are timed at."""

    name: str
    family: str
    title: str
    make: Callable[[Peer], Call]
    """Prepare what it needs, prove that it does what it says, and return the call that is timed."""
    round: str = ""
    """Operations of one name here that stand side by side are timed in the same rounds."""
    hit: bool = True
    """Whether it finds what a near cache may hold."""


class Wrong(AssertionError):
    """A peer does not do what is to be measured: its times would say nothing."""


def proved(right: bool, said: str) -> None:
    """Raise Wrong unless something is so."""
    if not right:
        raise Wrong(said)
