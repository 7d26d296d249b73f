"""What is wanted, and what was reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import Ratio, ratio

NEAR, STRICT = "cachekit-near", "cachekit"


@dataclass(frozen=True)
class Goal:
    """One line of the table: a figure that may not be more than its limit (or not less)."""

    name: str
    kind: str
    """Which figure: times, requests, calls, weight or saves."""
    ours: tuple[str, str]
    """Peer and operation."""
    theirs: tuple[str, str]
    limit: float
    at_least: bool = False

    @property
    def sign(self) -> str:
        """How figure and limit compare."""
        return "≥" if self.at_least else "≤"


@dataclass(frozen=True)
class Verdict:
    """A goal and what was reached, if it was measured."""

    goal: Goal
    reached: Ratio | None
    absent: bool = False
    """Whether the library cannot do it, rather than that it was not asked to."""

    @property
    def word(self) -> str:
        """Say how it went."""
        if self.reached is None:
            return "not yet" if self.absent else "not measured"
        value, limit = self.reached.median, self.goal.limit
        return "ok" if (value >= limit if self.goal.at_least else value <= limit) else "short"

    def __str__(self) -> str:
        goal = self.goal
        figure = "–" if self.reached is None else shown(self.reached.median)
        return f"{goal.name} {figure} ({goal.sign} {shown(goal.limit)}: {self.word})"


def times(name: str, ours: tuple[str, str], theirs: tuple[str, str], limit: float) -> Goal:
    """Make a goal over two medians of one interleaved run."""
    return Goal(name, "times", ours, theirs, limit)


GOALS = (
    times("near get ÷ LocMem", (NEAR, "get-100"), ("locmem", "get-100"), 0.5),
    Goal("calls of a near get", "calls", (NEAR, "get-100"), ("", ""), 15),
    times("near get of 50 dicts ÷ LocMem", (NEAR, "get-rows"), ("locmem", "get-rows"), 0.6),
    times("near get of 20 instances ÷ LocMem", (NEAR, "get-instances"), ("locmem", "get-instances"), 0.6),
    times("get 100 B ÷ django-redis", (STRICT, "get-100"), ("django-redis", "get-100"), 0.6),
    times("get 10 KB ÷ django-redis", (STRICT, "get-10k"), ("django-redis", "get-10k"), 0.6),
    times("get 100 B ÷ socket", (STRICT, "get-100"), ("socket", "get-100"), 1.25),
    times("get 10 KB ÷ socket", (STRICT, "get-10k"), ("socket", "get-10k"), 1.25),
    times("set ÷ django-redis", (STRICT, "set"), ("django-redis", "set"), 0.6),
    times("get_many(100) ÷ django-redis", (STRICT, "get-many"), ("django-redis", "get-many"), 0.4),
    times("set_many(100) ÷ django-redis", (STRICT, "set-many"), ("django-redis", "set-many"), 0.2),
    times("near get(pk) ÷ uncached", (NEAR, "get-row"), ("uncached", "get-row"), 0.03),
    times("near filter()[:20] ÷ uncached", (NEAR, "filter"), ("uncached", "filter"), 0.12),
    times("near count() ÷ uncached", (NEAR, "count"), ("uncached", "count"), 0.12),
    times("cold get(pk) ÷ uncached", (STRICT, "cold"), ("uncached", "cold"), 1.4),
    Goal("save and commit ÷ uncached", "saves", (STRICT, "few"), ("uncached", "few"), 1.35),
    Goal("save with most entries ÷ uncached", "saves", (STRICT, "many"), ("uncached", "few"), 1.35),
    times("page hit ÷ null view", (NEAR, "page"), ("uncached", "page"), 1.25),
    Goal("page hits a second ÷ null view", "requests", (NEAR, ""), ("uncached", ""), 0.9, at_least=True),
    times("fragment hit ÷ LocMem", (NEAR, "fragment"), ("locmem", "fragment"), 0.8),
    times("aget ÷ get, near", (NEAR, "aget-100"), (NEAR, "get-beside"), 1.3),
    times("aget ÷ get, strict", (STRICT, "aget-100"), (STRICT, "get-beside"), 1.3),
    Goal("bytes beside the payload", "weight", (STRICT, "entries"), ("", "overhead"), 64),
    Goal("bytes of a one-row query", "weight", (STRICT, "rows"), ("", "entry"), 250),
)


def judged(found: Mapping[str, Any]) -> list[Verdict]:
    """Hold what was found against the goals."""
    return [Verdict(goal, FIGURES[goal.kind](found, goal), _cannot(found, *goal.ours)) for goal in GOALS]


def last_line(verdicts: list[Verdict]) -> str:
    """Return the goals, what was reached, and how many were, in one line."""
    words = [verdict.word for verdict in verdicts]
    told = ", ".join(
        f"{words.count(word)} {word}" for word in ("ok", "short", "not yet", "not measured") if word in words
    )
    return f"Goals: {'; '.join(map(str, verdicts))}. {told}."


def shown(value: float) -> str:
    """Return a figure with three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _cannot(found: Mapping[str, Any], name: str, operation: str) -> bool:
    return name in found["absent"] or operation in found["failed"].get(name, {})


def _times(found: Mapping[str, Any], goal: Goal) -> Ratio | None:
    mine, theirs = (_rounds(found, *one) for one in (goal.ours, goal.theirs))
    return ratio(mine, theirs) if mine and theirs else None


def _rounds(found: Mapping[str, Any], name: str, operation: str) -> list[float]:
    row = found["operations"].get(operation, {}).get(name, {})
    return list(row.get("rounds_us", ()))


def _requests(found: Mapping[str, Any], goal: Goal) -> Ratio | None:
    rates = found.get("requests", {})
    mine, theirs = rates.get(goal.ours[0]), rates.get(goal.theirs[0])
    return ratio(mine, theirs) if mine and theirs else None


def _calls(found: Mapping[str, Any], goal: Goal) -> Ratio | None:
    name, operation = goal.ours
    row = found["operations"].get(operation, {}).get(name)
    return Ratio(row["all_calls"], row["all_calls"], row["all_calls"]) if row else None


def _weight(found: Mapping[str, Any], goal: Goal) -> Ratio | None:
    name, kind = goal.ours
    weight = found["memory"].get(kind, {}).get(name)
    return Ratio(weight[goal.theirs[1]], weight[goal.theirs[1]], weight[goal.theirs[1]]) if weight else None


def _saves(found: Mapping[str, Any], goal: Goal) -> Ratio | None:
    sizes = found.get("writes", {}).get("ratios", {}).get(goal.ours[0])
    if not sizes:
        return None
    value = sizes[(min if goal.ours[1] == "few" else max)(sizes, key=int)]
    return Ratio(value, value, value)


FIGURES = {"times": _times, "requests": _requests, "calls": _calls, "weight": _weight, "saves": _saves}
