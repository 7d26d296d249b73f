"""Run every benchmark and write docs/benchmarks.md: `python -m benchmarks [--quick]`; quick writes no page."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import machine

SUITES = ("backend_get", "doors", "writes")
PAGE = Path("docs/benchmarks.md")
HEAD = """# Benchmarks

`make bench` writes this page; `make bench-quick` prints the same in half a minute, less exactly. All peers talk to one
Valkey server on this machine, in one process, in chunks whose order is drawn anew in each round. Times are in
microseconds a call. **Ratios are to django-redis, median of the rounds' ratios: below 1 is faster.** The machine is
small and noisy: trust ratios, not times.

Measured {date} on Python {python}, {system}, {cores} cores.

{tables}
## What the numbers say

{words}
"""
TITLES = {
    "backend_get": "The `CACHES` door: `cachekit.backends.RedisCache` beside django-redis and Django's own backend",
    "writes": "Writes: a save in a transaction and its commit (PostgreSQL, fsync on), beside an uncached one",
    "doors": "Hits of the doors, which also check that nothing they depend on was written since",
}


def main(*, quick: bool) -> None:
    """Run each suite in a process of its own, since each sets Django up for itself."""
    tables = []
    for suite in SUITES:
        command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{suite}", *(["--quick"] if quick else [])]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        print(f"\n{TITLES[suite]}\n\n{done.stdout}", flush=True)
        tables.append(f"## {TITLES[suite]}\n\n{done.stdout}")
    words = "\n".join(f"- {line}" for line in verdicts())
    print(words)
    if not quick:
        today = datetime.datetime.now(tz=datetime.UTC).date()
        PAGE.write_text(HEAD.format(date=today, tables="\n".join(tables), words=words, **machine()))


def verdicts() -> list[str]:
    """Return a sentence a task: wins and losses alike."""
    found = []
    for suite in SUITES[:2]:
        results: list[dict[str, Any]] = json.loads(Path(f".cache/benchmarks/{suite}.json").read_text())["results"]
        for result in results:
            ratio = result["ratios"]["cachekit"]
            word = "faster than" if ratio < 0.97 else "slower than" if ratio > 1.03 else "level with"
            found.append(f"{result['task']}: {ratio:.2f} x django-redis, {word} it.")
    writes = json.loads(Path(".cache/benchmarks/writes.json").read_text())
    for name, sizes in writes["ratios"].items():
        if name != "uncached":
            found.append(f"a save with {name}: {sizes['0']:.2f} x an uncached one.")
    return found


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
