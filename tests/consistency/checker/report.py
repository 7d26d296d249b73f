"""Figures for people: lines for a terminal, a table and a plot in the documentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.consistency.checker import plot
from tests.consistency.checker.figures import Figures, per_million

PAGE = "consistency-checker.md"
PICTURE = "consistency-checker.svg"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
ORDER = ("cachekit", "tracked", "triggers", "aside", "cacheops", "cachalot")


def described(name: str, found: Figures) -> str:
    """Return a run in lines for a terminal."""
    whole = found["whole"]
    lines = [
        f"{name}, seed {found['seed']}, {found['seconds']:.0f} s:",
        f"  {whole['reads']:,} reads, {_hits(found)} hits, {whole['writes']:,} writes",
        f"  stale for ever: {len(found['lasting'])}",
    ]
    lines += [
        f"  {kind}: {whole['stale'].get(kind, 0):,} ({per_million(whole, kind):,.1f} a million), "
        f"longest {whole['longest_ms'].get(kind, 0):,.0f} ms"
        for kind in ("acknowledged", *(one for one in whole["stale"] if one != "acknowledged"))
    ]
    if found["outside_delay_ms"]:
        lines.append(f"  writes from outside Django, unseen for: {found['outside_delay_ms']} ms")
    for fault, score in found["faults"].items():
        if score["stale"] or score["errors"]:
            lines.append(f"    {fault}: {score['stale']} {score['errors'] or ''}")
    lines += [f"  {example}" for example in found["examples"]]
    lines += [f"  for ever: {key}: {what}" for key, what in sorted(found["lasting"].items())[:10]]
    return "\n".join(lines)


def write(figures: Figures, folder: Path) -> None:
    """Write the table into the page, between its marks, and the plot beside it."""
    page = folder / PAGE
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    shown = [figures[name] for name in ORDER if name in figures]
    page.write_text(f"{before}{BEGIN}\n\n{table(shown)}\n\n{END}{after}")
    rates = {fault: [rate(one, fault) for one in shown] for fault in faults_of(shown)}
    (folder / PICTURE).write_text(plot.drawn([one["title"] for one in shown], rates))


def table(shown: Sequence[Figures]) -> str:
    """Return the figures in Markdown."""
    found = shown[0]["where"]
    head = ["| | " + " | ".join(one["title"] for one in shown) + " |", "|---|" + "---:|" * len(shown)]
    rows = [f"Measured {found['date']}: {found['machine']}; {found['versions']}.", "", *head]
    rows += [f"| {label} | " + " | ".join(figure(one) for one in shown) + " |" for label, figure in ROWS]
    rows += ["", f"{plot.HEADING}:", "", *head]
    for fault in faults_of(shown):
        rows.append(f"| {fault} | " + " | ".join(_rounded(rate(one, fault)) for one in shown) + " |")
    return "\n".join(rows)


def faults_of(shown: Sequence[Figures]) -> list[str]:
    """Return the names of every fault that was run, in alphabetical order."""
    return sorted({name for one in shown for name in one["faults"]})


def rate(found: Figures, fault: str) -> float | None:
    """Return the stale reads in a million that a fault caused, or None where it was not run."""
    score = found["faults"].get(fault)
    if score is None:
        return None
    return float(score["stale"].get("acknowledged", 0) / max(found["whole"]["reads"], 1) * 1e6)


def _rounded(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:,.0f}" if number >= 10 or not number else f"{number:.1f}"


def _hits(found: Figures) -> str:
    return f"{found['whole']['hits'] / max(found['whole']['reads'], 1):.0%}"


def _stale(kind: str) -> Callable[[Figures], str]:
    return lambda found: _rounded(per_million(found["whole"], kind))


def _errors(found: Figures) -> str:
    errors = found["whole"]["errors"]
    reads = sum(count for name, count in errors.items() if name.startswith("read"))
    return f"{reads:,} / {sum(errors.values()) - reads:,}"


def _outside(found: Figures) -> str:
    delay = found["outside_delay_ms"]
    return f"{delay['p99'] / 1000:.2f} / {delay['longest'] / 1000:.2f}" if delay else ""


ROWS: Sequence[tuple[str, Callable[[Figures], str]]] = (
    ("reads", lambda found: f"{found['whole']['reads']:,}"),
    ("answered without the database", _hits),
    ("transactions committed", lambda found: f"{found['whole']['writes']:,}"),
    ("**stale in a million, against acknowledged writes**", _stale("acknowledged")),
    ("longest staleness, seconds", lambda found: f"{found['whole']['longest_ms'].get('acknowledged', 0) / 1000:,.2f}"),
    ("**values that stay stale for ever**", lambda found: f"{len(found['lasting']):,}"),
    ("stale in a million while tags stood in the outbox", _stale("untold")),
    ("stale in a million, against committed writes not yet acknowledged", _stale("committed")),
    ("uncommitted data shown, in a million", _stale("phantom")),
    ("own writes not seen in their transaction", lambda found: f"{found['whole']['stale'].get('own', 0):,}"),
    ("errors shown to users, reading / writing", _errors),
    ("writes from outside Django unseen for, seconds, p99 / longest, faults included", _outside),
)
