"""Compare peers fairly: the same server, calls in chunks, chunks interleaved in random order, medians and ratios."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Peer = Callable[[], object]


@dataclasses.dataclass(frozen=True)
class Timing:
    """What one call of a peer took, in microseconds."""

    p10: float
    p50: float
    p90: float
    calls: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How peers did at one task; ratios are to the first peer's median, chunk by chunk."""

    task: str
    timings: Mapping[str, Timing]
    ratios: Mapping[str, float]


def compare(task: str, peers: Mapping[str, Peer], *, chunks: int = 60, calls: int = 100, seed: int = 1) -> Comparison:
    """Time every peer in `chunks` chunks of `calls` calls, all peers in each round, in an order drawn anew.

    A ratio is the median of the rounds' ratios of medians, so that what disturbs a whole round disturbs no ratio.
    """
    order, draw = list(peers), random.Random(seed)
    for name in order:
        _timed(peers[name], calls)
    samples: dict[str, list[list[float]]] = {name: [] for name in order}
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(chunks):
            for name in draw.sample(order, len(order)):
                samples[name].append(_timed(peers[name], calls))
            gc.collect(0)
    finally:
        if was_enabled:
            gc.enable()
    medians = {name: [statistics.median(chunk) for chunk in taken] for name, taken in samples.items()}
    base = medians[order[0]]
    ratios = {
        name: statistics.median(mine / theirs for mine, theirs in zip(own, base, strict=True))
        for name, own in medians.items()
    }
    return Comparison(task, {name: _timing(taken) for name, taken in samples.items()}, ratios)


def table(comparisons: Sequence[Comparison]) -> str:
    """Return the comparisons as a Markdown table, one row a peer and task."""
    rows = ["| task | peer | p50 µs | p10 | p90 | ratio |", "|---|---|---:|---:|---:|---:|"]
    for comparison in comparisons:
        for name, timing in comparison.timings.items():
            numbers = f"{timing.p50:.1f} | {timing.p10:.1f} | {timing.p90:.1f} | {comparison.ratios[name]:.2f}"
            rows.append(f"| {comparison.task} | {name} | {numbers} |")
    return "\n".join(rows)


def report(name: str, comparisons: Sequence[Comparison], folder: Path | None = None) -> str:
    """Write the comparisons as JSON into `folder` (default `.cache/benchmarks`) and return them as a table."""
    folder = folder or Path(".cache/benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    found = {"name": name, "machine": machine(), "results": [dataclasses.asdict(each) for each in comparisons]}
    (folder / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")
    return table(comparisons)


def machine() -> dict[str, Any]:
    """Return what the numbers were taken on; they carry over to other machines as ratios only."""
    return {"python": sys.version.split()[0], "system": platform.system(), "cores": os.cpu_count()}


def _timed(peer: Peer, calls: int) -> list[float]:
    clock, taken = time.perf_counter_ns, []
    for _ in range(calls):
        start = clock()
        peer()
        taken.append((clock() - start) / 1000)
    return taken


def _timing(chunks: Sequence[Sequence[float]]) -> Timing:
    flat = sorted(taken for chunk in chunks for taken in chunk)
    at = [flat[int(len(flat) * share)] for share in (0.1, 0.5, 0.9)]
    return Timing(at[0], at[1], at[2], len(flat))
