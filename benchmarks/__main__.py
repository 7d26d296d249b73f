"""Measure everything and write docs/benchmarks.md: `python -m benchmarks [--quick] [--only values,rows]`.

Quick, or only a part, writes no page unless it is told to `--publish`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.goals import Verdict, judged, last_line
from benchmarks.runner import FULL, QUICK, Run

FAMILIES = ("values", "awaited", "rows", "functions", "pages", "fragments")
PARTS = (*FAMILIES, "writes")
FOLDER = Path(".cache/benchmarks")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep the figures, write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure cachekit beside its peers.")
    parser.add_argument("--quick", action="store_true", help="in a minute, less exactly")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts of it, of {','.join(PARTS)}")
    parser.add_argument("--publish", action="store_true", help="write the docs' page from this run in any case")
    parser.add_argument("--nice", type=int, default=0, metavar="N", help="-10: before others on this machine, as root")
    given = parser.parse_args(arguments)
    parts = given.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    began = time.monotonic()
    os.nice(given.nice)
    found = Run(QUICK if given.quick else FULL, set(parts) & set(FAMILIES)).measure()
    writes = saves(quick=given.quick) if "writes" in parts else ""
    if writes:
        found["writes"] = json.loads((FOLDER / "writes.json").read_text())
    found["seconds"] = time.monotonic() - began
    verdicts = judged(found)
    text = report.page(found, verdicts, writes, str(datetime.datetime.now(tz=datetime.UTC).date()))
    keep(found)
    print(f"\n{text}")
    if given.publish or (not given.quick and set(parts) == set(PARTS)):
        publish(found, verdicts, text)
    print(f"Measured in {found['seconds']:.0f} seconds; every figure is in {FOLDER}/suite.json.\n")
    print(last_line(verdicts))


def saves(*, quick: bool) -> str:
    """Measure writes, which have servers of their own, and return what they print."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.writes", *(["--quick"] if quick else [])]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def keep(found: dict[str, Any]) -> None:
    """Keep every figure."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "suite.json").write_text(json.dumps({"name": "suite", **found}, indent=2) + "\n")


def publish(found: dict[str, Any], verdicts: list[Verdict], text: str) -> None:
    """Write the page, its pictures, and the table of the README."""
    (report.DOCS / "benchmarks.md").write_text(text)
    for name, picture in report.plots(found, verdicts).items():
        (report.DOCS / name).write_text(picture)
    readme = Path("README.md")
    readme.write_text(report.readme(readme.read_text(), verdicts))


if __name__ == "__main__":
    main()
