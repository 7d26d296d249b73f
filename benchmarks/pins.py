"""Which core is whose: the client has one, the servers another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Set as AbstractSet


def cores() -> list[int]:
    """Return the cores that this process may use; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


ALL = frozenset(cores())
SERVER = frozenset(sorted(ALL)[:1])
CLIENT = frozenset(sorted(ALL)[1:2]) or SERVER


def pin(wanted: AbstractSet[int], pids: Iterable[int] = (0,)) -> None:
    """Keep processes (default: this one) on these cores, where the system can."""
    if wanted:
        for pid in pids:
            os.sched_setaffinity(pid, wanted)


def told() -> str:
    """Say in a sentence who runs where."""
    if not ALL:
        return "Nothing is pinned: this system does not let a process choose its core."
    if len(ALL) == 1:
        return "Client and servers share the only core."
    return f"Clients run on core {min(CLIENT)}, servers on core {min(SERVER)}, each pinned."
