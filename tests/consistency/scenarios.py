"""What may befall a simulated world, and which of its staleness cachekit says can happen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """Shares are 0 to 1; the others are mean milliseconds of simulated time between two such events, 0 for never."""

    name: str
    about: str
    expected: frozenset[str] = frozenset()
    """The kinds of staleness that are documented limits here; every other kind must not occur."""

    processes: int = 3
    readers: int = 4
    writers: int = 2
    reading: float = 2
    """Milliseconds between two reads of a reader."""
    many: float = 0.05
    """The share of reads that ask for all kept rows at once."""
    writing: float = 500
    """Milliseconds between two writes of a writer."""
    buckets: int = 4
    points: int = 4
    """How many fields a bucket holds before it folds."""
    streams: int = 40
    """How many events the ledger's stream holds."""
    tracked: bool = False
    """Whether every door is kept in its process, instead of half of them."""
    deaf: float = 0
    """Milliseconds that what a process hears of the stream may be late, at most."""

    snapshots: float = 0.03
    """Readers in a REPEATABLE READ transaction."""
    refused: float = 0.04
    unanswered: float = 0.002
    """COMMITs that the client hears nothing of; most of them land later."""
    rollbacks: float = 0.05
    pieces: float = 0.03
    """Pipelines between whose commands others come."""
    kills: float = 15_000
    loss: float = 0.0

    evictions: float = 0
    purges: float = 0
    steps: float = 0
    jumps: tuple[int, ...] = (900, -900, 900_000, -900_000, 3_000_000, -3_000_000, 15_000_000, -15_000_000)
    """By how many microseconds the server's clock is set."""
    outages: float = 0
    restarts: float = 0
    refusals: float = 0
    restores: float = 0
    """Restarts from an older state."""
    lag: float = 0
    """Milliseconds that replicas are behind, at most."""
    replicas: float = 0
    """The share of statements that the project's routers send to one."""


LOSES_INTENTS = frozenset({"committed", "lasting"})
"""Where an intent was lost and its writer died, or has not settled yet: entries older than what was committed."""

SCENARIOS = {
    one.name: one
    for one in (
        Scenario(
            "races",
            "readers, writers, nesting, waiters, snapshots, folds, kills, COMMITs refused or without an answer",
        ),
        Scenario(
            "memory",
            "the same while entries, buckets, intents and the root are evicted and the server's clock steps",
            LOSES_INTENTS,
            evictions=300,
            steps=4_000,
        ),
        Scenario(
            "network",
            "the same as races while messages are late, lost, carried out twice, and the server is away at times",
            frozenset({"committed", "untold"}),
            loss=0.01,
            outages=4_000,
        ),
        Scenario(
            "faults",
            "all of it, and a server that restarts empty or from an older state, or refuses writes",
            LOSES_INTENTS | {"untold"},
            evictions=500,
            steps=6_000,
            loss=0.005,
            outages=6_000,
            restarts=9_000,
            restores=9_000,
            refusals=9_000,
        ),
        Scenario(
            "outages",
            "the server is away for everybody at times, refuses writes, comes back empty or with an older state",
            LOSES_INTENTS,
            outages=4_000,
            refusals=4_000,
            restarts=9_000,
            restores=4_000,
        ),
        Scenario(
            "tracked",
            "every door is judged by a mirror that hears late, or misses what the stream no longer holds",
            LOSES_INTENTS,
            tracked=True,
            deaf=900,
            streams=10,
            writing=200,
            outages=20_000,
            restores=20_000,
        ),
        Scenario(
            "replicas",
            "half of all statements go to replicas that lag, in transactions too, while the server has trouble",
            LOSES_INTENTS | {"untold"},
            reading=20,
            evictions=1_000,
            purges=20,
            steps=15_000,
            outages=15_000,
            restarts=30_000,
            replicas=0.5,
            lag=300,
        ),
    )
}
PROMISED = ("races", "memory", "network", "faults", "outages", "tracked", "replicas")
