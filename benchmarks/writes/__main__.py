"""Save a row in a transaction beside the peers (PostgreSQL, fsync on), with more and more entries that depend on it.

Each peer runs in a process, on a Valkey server and in a database of its own, clients and servers pinned to a core each;
chunks are interleaved in an order drawn anew. A ratio is to the uncached save, round by round. Peers that are not
installed are left out.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.harness import machine
from benchmarks.lines import Series, lines
from benchmarks.pins import SERVER, pin
from tests.servers import Postgres, Valkey

DURABLE = ("--fsync=on", "--synchronous_commit=on", "--full_page_writes=on")
PEERS = ("uncached", "cachekit", "cachalot", "cacheops")
OURS = (1_000, 10_000, 100_000, 1_000_000)
THEIRS = (1_000, 10_000)
CHUNK = 20
PLOT = Path("docs/benchmarks-writes.svg")


class Peer:
    """A process that does what it is told."""

    def __init__(self, name: str, postgres: Postgres, stack: ExitStack) -> None:
        self.name = name
        server = stack.enter_context(Valkey())
        pin(SERVER, server.pids())
        environment = os.environ | {
            "BENCH_PEER": name,
            "BENCH_REDIS_PORT": str(server.port),
            "BENCH_POSTGRES_PORT": str(postgres.port),
        }
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.writes.peer"]
        self.process = stack.enter_context(
            subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(self.process.terminate)
        self._answer()

    def do(self, word: str, count: int) -> Any:
        """Have it do something, and return what it answers."""
        assert self.process.stdin is not None
        print(word, count, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            assert self.process.stderr is not None
            raise RuntimeError(f"{self.name} ended: {self.process.stderr.read()[-2000:]}")
        return json.loads(line)


@contextmanager
def peers() -> Iterator[dict[str, Peer]]:
    """Start a database server and all peers that are installed."""
    import psycopg

    with Postgres(*DURABLE) as postgres, ExitStack() as stack:
        pin(SERVER, postgres.pids())
        wanted = [name for name in PEERS if name == "uncached" or find_spec(name)]
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            for name in wanted:
                connection.execute(f"CREATE DATABASE writes_{name}")
        yield {name: Peer(name, postgres, stack) for name in wanted}


def interleaved(rivals: Sequence[Peer], rounds: int, fill: int = 0, chunk: int = CHUNK) -> dict[str, list[float]]:
    """Return each peer's median of each round; before a chunk of theirs those are filled who delete what they hold."""
    found: dict[str, list[float]] = {peer.name: [] for peer in rivals}
    draw = random.Random(1)
    for peer in rivals:
        peer.do("save", chunk)
    for _ in range(rounds):
        for peer in draw.sample(list(rivals), len(rivals)):
            if fill and peer.name in ("cachalot", "cacheops"):
                peer.do("fill", fill)
            found[peer.name].append(statistics.median(peer.do("save", chunk)))
    return found


def ratio(taken: dict[str, list[float]], name: str) -> float:
    """Return the median of the rounds' ratios to the uncached save."""
    return statistics.median(mine / base for mine, base in zip(taken[name], taken["uncached"], strict=True))


def measured(*, quick: bool) -> dict[str, Any]:
    """Measure everything."""
    rounds = 8 if quick else 40
    with peers() as running:
        uncached, kit = running["uncached"], running["cachekit"]
        saves = interleaved(list(running.values()), rounds)
        flat: dict[str, dict[int, float]] = {name: {0: ratio(saves, name)} for name in running}
        for entries in OURS[: 2 if quick else None]:
            kit.do("fill", entries)
            flat["cachekit"][entries] = ratio(interleaved([uncached, kit], rounds), "cachekit")
        invalidations = statistics.median(kit.do("invalidate", 50 if quick else 300))
        for name in ("cachalot", "cacheops"):
            for entries in THEIRS[: 0 if quick else None]:
                if name in running:
                    taken = interleaved([uncached, running[name]], 3 if entries > 1_000 else 5, entries, chunk=1)
                    flat[name][entries] = ratio(taken, name)
        memory = kit.do("forget", 20_000 if quick else 1_000_000)
    return {
        "name": "writes",
        "machine": machine(),
        "save_us": {name: statistics.median(taken) for name, taken in saves.items()},
        "ratios": flat,
        "entries": OURS[1] if quick else OURS[-1],
        "invalidate_us": invalidations,
        "invalidated": 20_000 if quick else 1_000_000,
        "memory_bytes": memory[1] - memory[0],
    }


def told(found: dict[str, Any]) -> str:
    """Return the figures for people."""
    sizes = sorted({size for one in found["ratios"].values() for size in one})
    head = " | ".join(f"× with {size:,} entries" for size in sizes)
    rows = [f"| peer | p50 µs | {head} |", "|---|---:|" + "---:|" * len(sizes)]
    for name, at in found["ratios"].items():
        cells = " | ".join(f"{at[size]:.2f}" if size in at else "" for size in sizes)
        rows.append(f"| {name} | {found['save_us'][name]:.0f} | {cells} |")
    table = "\n".join(rows)
    return f"""{table}

![A save beside an uncached one, by the number of entries that depend on it](benchmarks-writes.svg)

To invalidate {found["entries"]:,} entries that depend on one table takes {found["invalidate_us"]:.0f} µs (p50). After
{found["invalidated"]:,} invalidations of rows that all differ the ledger holds {found["memory_bytes"] / 1e6:.1f} MB."""


def main(*, quick: bool) -> None:
    """Measure, print, keep the figures, draw the plot."""
    found = measured(quick=quick)
    print(told(found))
    folder = Path(".cache/benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "writes.json").write_text(json.dumps(found, indent=2) + "\n")
    if not quick:
        series = [
            Series(name, [(size, at[size]) for size in sorted(at) if size])
            for name, at in found["ratios"].items()
            if name != "uncached"
        ]
        PLOT.write_text(lines("A save and its commit, times an uncached one", "entries that depend on it", series))


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
