"""What was found, for people: a page with tables and plots, and the table of the README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bars import BAD, GOOD, PLAIN, Bar, Group, bars
from benchmarks.families import OPERATIONS
from benchmarks.goals import Verdict, shown
from benchmarks.harness import ratio
from benchmarks.peers import MODULES, peer

DOCS = Path("docs")
MARKS = ("<!-- figures of make bench -->\n", "<!-- end of the figures -->")
BESIDE = {
    "values": "django-redis",
    "awaited": "django-redis",
    "functions": "django-redis",
    "rows": "uncached",
    "pages": "uncached",
}
"""The peer that a family's ratios are to; LocMemCache for the rest."""
TITLES = {
    "values": "Values by key: `caches[alias]`",
    "awaited": "Values by key, awaited",
    "rows": "Through the ORM, beside PostgreSQL",
    "functions": "A function's hit: by a decorator, or `get` and `set` by hand",
    "pages": "A page's hit through the WSGI handler and Django's usual seven middlewares",
    "fragments": "A template fragment's hit",
}
PLOTTED = ("get-100", "get-10k", "set", "get-many", "set-many", "get-row", "filter", "cold", "page", "fragment")
HEAD = """# Benchmarks

`make bench` writes this page; `make bench-quick` prints the same in a minute, less exactly. Each library runs in a
process of its own, all against one Valkey and one PostgreSQL on this machine (fsync on). They take turns in chunks of
some milliseconds, in an order drawn anew in each round. {pins} Times are medians in microseconds
a call; **a ratio is the median of the rounds' ratios**, with the lowest and the highest round beside it. Before it is
timed each call is proved to return the right value, and a hit to ask the database nothing. Calls of functions are
counted, not sampled. The machine is small and noisy: trust ratios and counts, not times.{quick}

Measured {date} on Python {python}, {system}, {cores} cores: {versions}.
"""


def page(found: Mapping[str, Any], verdicts: Sequence[Verdict], writes: str, date: str) -> str:
    """Return the page."""
    known = {f"{peer(name).distribution} {version}": None for name, version in found["versions"].items() if version}
    quick = "\n\n**These figures are from a quick run, with few rounds, on a busy machine.**" if found["quick"] else ""
    head = HEAD.format(date=date, pins=found["pins"], quick=quick, versions=", ".join(known), **found["machine"])
    parts = [
        head,
        "## Goals\n",
        goals_table(verdicts),
        "\n![What was reached, as a share of what is wanted](benchmarks-goals.svg)\n",
        "## Medians, µs\n",
        "In parentheses: the ratio to the peer whose ratio is 1.\n",
        *(f"### {title}\n\n{rows}\n" for family, title in TITLES.items() if (rows := matrix(found, family))),
        "![Medians of all libraries](benchmarks-times.svg)\n",
        *others(found),
        "## Writes: a save in a transaction and its commit (PostgreSQL, fsync on), beside an uncached one\n",
        writes + "\n" if writes else "Not measured.\n",
        "What triggers cost, and how soon a relay tells of them, has [a page of its own](benchmarks-triggers.md).\n",
        "## Where the time goes\n",
        profiles(found),
        "## All figures\n",
        details(found),
        *left_out(found),
    ]
    return "\n".join(parts)


def goals_table(verdicts: Iterable[Verdict]) -> str:
    """Return goals and what was reached."""
    rows = ["| goal | wanted | reached | lowest to highest round | |", "|---|---:|---:|---:|---|"]
    for verdict in verdicts:
        goal, reached = verdict.goal, verdict.reached
        figure, span = "–", ""
        if reached is not None:
            figure = shown(reached.median)
            span = "" if reached.low == reached.high else f"{shown(reached.low)} – {shown(reached.high)}"
        rows.append(f"| {goal.name} | {goal.sign} {shown(goal.limit)} | {figure} | {span} | {verdict.word} |")
    return "\n".join(rows)


def matrix(found: Mapping[str, Any], family: str) -> str:
    """Return the medians of a family, if it was measured: a line a peer, a column an operation."""
    names = [one.name for one in OPERATIONS.values() if one.family == family and one.name in found["operations"]]
    peers = [name for name in MODULES if any(name in found["operations"][one] for one in names)]
    if not peers:
        return ""
    rows = [f"| | {' | '.join(OPERATIONS[one].title for one in names)} |", "|---|" + "---:|" * len(names)]
    for name in peers:
        cells = [_cell(found["operations"][one], name, BESIDE.get(family, "locmem")) for one in names]
        rows.append(f"| {_title(name, family)} | {' | '.join(cells)} |")
    return "\n".join(rows)


def others(found: Mapping[str, Any]) -> list[str]:
    """Return what is measured in other ways: one core, many processes, a web server, memory."""
    parts = []
    for operation, rows in found["same_core"].items():
        cells = "; ".join(f"{_title(name)} {row['p50_us']:.1f} µs" for name, row in rows.items())
        parts.append(f"## Client and server on one core\n\n{OPERATIONS[operation].title}: {cells}.\n")
    if found["processes"]:
        lines = ["| `get`, 100 characters: calls a second | one process | four processes |", "|---|---:|---:|"]
        lines += [f"| {_title(name)} | {one['1']:,.0f} | {one['4']:,.0f} |" for name, one in found["processes"].items()]
        parts.append("## One process and four, on all cores\n\n" + "\n".join(lines) + "\n")
    if found.get("requests"):
        lines = ["| page hits through gunicorn, 2 sync workers | requests a second | ÷ null view |", "|---|---:|---:|"]
        lines += _requests(found["requests"])
        told = (
            "The load is made by a program of ours in Python, eight requests under way, a connection each. It shares a "
            f"core with Valkey and needed at most {found['load_share']:.0%} of it; the workers share the other."
        )
        parts.append("## Requests a second\n\n" + "\n".join(lines) + f"\n\n{told}\n")
    if found["memory"]:
        parts.append("## Memory\n\n" + memory(found["memory"]) + "\n")
    return parts


def memory(weights: Mapping[str, Any]) -> str:
    """Return what entries weigh."""
    titles = {
        "near": "100 characters in the process, through `caches[alias]`, beside the string itself",
        "results": "100 characters in the process, a function's result, with what is remembered of its dependencies",
        "entries": "100 characters on the server with three shared tags, beside a key with the same payload",
        "rows": "a cached query of one row on the server, in all",
    }
    rows = ["| bytes | | |", "|---|---|---:|"]
    for kind, title in titles.items():
        for name, weight in weights.get(kind, {}).items():
            rows.append(f"| {title} | {_title(name)} | {weight.get('overhead', weight['entry']):.0f} |")
    return "\n".join(rows)


def profiles(found: Mapping[str, Any]) -> str:
    """Return where the time goes in what falls short."""
    parts = ["Where a goal is missed: the functions that take most, under `cProfile`, which makes Python slower.\n"]
    for title, rows in found.get("profiles", {}).items():
        parts.append(f"**{title}**\n\n| function | µs a call | times called |\n|---|---:|---:|")
        parts += [f"| `{row['where']}` | {row['us']:.1f} | {row['calls']:.3g} |" for row in rows]
        parts.append("")
    return "\n".join(parts)


def details(found: Mapping[str, Any]) -> str:
    """Return every figure."""
    rows = [
        "| operation | library | p50 µs | p95 | client CPU µs | server CPU µs | Python functions | all functions |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for operation, peers in found["operations"].items():
        for name, row in peers.items():
            cpu = f"{row['client_cpu_us']:.1f} | {row['server_cpu_us']:.0f}"
            calls = f"{row['python_calls']} | {row['all_calls']}"
            times = f"{row['p50_us']:.1f} | {row['p95_us']:.1f}"
            title = OPERATIONS[operation].title
            rows.append(f"| {title} | {_title(name, OPERATIONS[operation].family)} | {times} | {cpu} | {calls} |")
    return "\n".join(rows) + "\n"


def left_out(found: Mapping[str, Any]) -> list[str]:
    """Return who was not measured, and why."""
    lines = [f"- {_title(name)}: {reason}." for name, reason in found["absent"].items()]
    for name, whats in found["failed"].items():
        lines += [f"- {_title(name)}, {what}: {reason.strip().splitlines()[-1]}" for what, reason in whats.items()]
    lines.append("- django-cachex, the fastest near cache: it needs Python 3.14.")
    return ["## Left out\n", "\n".join(lines) + "\n"]


def plots(found: Mapping[str, Any], verdicts: Iterable[Verdict]) -> dict[str, str]:
    """Return the pictures by their file names."""
    shares = []
    for verdict in verdicts:
        if verdict.reached is not None and verdict.reached.median > 0:
            value, limit = verdict.reached.median, verdict.goal.limit
            share = limit / value if verdict.goal.at_least else value / limit
            said = f"{shown(value)} ({verdict.goal.sign} {shown(limit)})"
            shares.append(Bar(verdict.goal.name, share, said, GOOD if verdict.word == "ok" else BAD))
    pictures = {}
    if shares:
        title = "What was reached ÷ what is wanted: left of the line is better"
        pictures["benchmarks-goals.svg"] = bars(title, "reached ÷ wanted", [Group("", shares)], mark=1)
    groups = []
    for operation in PLOTTED:
        rows = found["operations"].get(operation, {})
        each = [
            Bar(_title(name, OPERATIONS[operation].family), row["p50_us"], f"{row['p50_us']:.1f} µs", _colour(name))
            for name, row in rows.items()
        ]
        groups += [Group(OPERATIONS[operation].title, each)] if each else []
    if groups:
        pictures["benchmarks-times.svg"] = bars("Medians of all libraries", "µs a call", groups)
    return pictures


def readme(text: str, verdicts: Iterable[Verdict]) -> str:
    """Return the README with the goals' table between its marks."""
    begin, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    rows = ["| | reached | wanted |", "|---|---:|---:|"]
    for verdict in verdicts:
        if verdict.reached is not None and verdict.goal.kind in ("times", "requests", "saves"):
            goal = verdict.goal
            rows.append(f"| {goal.name} | {shown(verdict.reached.median)} | {goal.sign} {shown(goal.limit)} |")
    return text[:begin] + "\n" + "\n".join(rows) + "\n\n" + text[end:]


def _cell(rows: Mapping[str, Any], name: str, beside: str) -> str:
    if name not in rows:
        return ""
    mine, theirs = rows[name], rows.get(beside)
    share = f" ({shown(ratio(mine['rounds_us'], theirs['rounds_us']).median)})" if theirs else ""
    return f"{shown(mine['p50_us'])}{share}"


def _requests(rates: Mapping[str, Sequence[float]]) -> list[str]:
    rows = []
    for name, mine in rates.items():
        found = ratio(mine, rates["uncached"])
        span = f"{found.median:.2f} ({found.low:.2f} – {found.high:.2f})"
        rows.append(f"| {_title(name, 'pages')} | {sorted(mine)[len(mine) // 2]:,.0f} | {span} |")
    return rows


def _title(name: str, family: str = "") -> str:
    return "null view" if name == "uncached" and family == "pages" else peer(name).title


def _colour(name: str) -> str:
    return GOOD if name.startswith("cachekit") else PLAIN
