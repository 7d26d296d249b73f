"""Goals, verdicts, the page and its pictures, out of figures made up for the purpose."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from benchmarks import goals, report
from benchmarks.bars import Bar, Group, bars
from benchmarks.families import OPERATIONS
from benchmarks.goals import GOALS, Goal, Verdict, judged, last_line
from benchmarks.harness import Ratio
from benchmarks.peers import MODULES, peer


def row(*rounds: float, calls: int = 10) -> dict[str, Any]:
    middle = sorted(rounds)[len(rounds) // 2]
    fixed = {"client_cpu_us": 1.0, "server_cpu_us": 2.0, "calls": 6, "python_calls": calls, "all_calls": calls}
    return {"p50_us": middle, "p95_us": max(rounds), "rounds_us": list(rounds), **fixed}


@pytest.fixture
def found() -> dict[str, Any]:
    times = {"cachekit": row(50, 60, 70), "django-redis": row(100, 100, 100), "socket": row(40, 40, 50)}
    profile = [{"where": "a.py:1 f", "us": 1.5, "calls": 1.0}]
    return {
        "machine": {"python": "3.11", "system": "Linux", "cores": 2},
        "pins": "Nothing is pinned.",
        "quick": True,
        "absent": {"cachekit-near": "not yet: this release has no near cache"},
        "versions": {"cachekit": "0.1.0", "django-redis": "7.0.0"},
        "operations": {"get-100": times},
        "same_core": {"get-100": times},
        "processes": {"cachekit": {"1": 100.0, "4": 300.0}},
        "memory": {"entries": {"cachekit": {"entry": 300.0, "overhead": 60.0}}},
        "profiles": {"get: cachekit": profile},
        "load_share": 0.25,
        "requests": {"uncached": [100.0, 100.0], "cachekit": [80.0, 90.0]},
        "writes": {"ratios": {"cachekit": {"0": 1.3, "1000": 1.5}}},
        "failed": {"ormcache": {"count": "Traceback\nWrong: it asked the database"}},
    }


def verdict(name: str, found: dict[str, Any]) -> Verdict:
    return next(one for one in judged(found) if one.goal.name == name)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("get 100 B ÷ django-redis", 0.6, "ok"),
        ("get 100 B ÷ socket", 1.4, "short"),
        ("bytes beside the payload", 60, "ok"),
        ("save and commit ÷ uncached", 1.3, "ok"),
        ("save with most entries ÷ uncached", 1.5, "short"),
    ],
)
def test_a_goal_is_reached_or_not(name: str, value: float, word: str, found: dict[str, Any]) -> None:
    one = verdict(name, found)

    assert one.reached is not None
    assert one.reached.median == pytest.approx(value)
    assert one.word == word


def test_what_is_wanted_may_be_a_least(found: dict[str, Any]) -> None:
    found["requests"]["cachekit-near"], found["absent"] = [95.0, 96.0], {}

    assert verdict("page hits a second ÷ null view", found).word == "ok"


def test_what_a_library_cannot_do_yet_is_no_failure(found: dict[str, Any]) -> None:
    assert verdict("near get ÷ LocMem", found).word == "not yet"
    assert verdict("set ÷ django-redis", found).word == "not measured"


def test_the_last_line_names_every_goal_and_what_was_reached(found: dict[str, Any]) -> None:
    line = last_line(judged(found))

    assert all(goal.name in line for goal in GOALS)
    assert "get 100 B ÷ django-redis 0.6 (≤ 0.6: ok)" in line
    assert line.count("\n") == 0
    assert line.endswith("3 ok, 2 short, 11 not yet, 8 not measured.")


def test_every_goal_is_about_something_that_is_measured() -> None:
    pairs = [pair for goal in GOALS if goal.kind == "times" for pair in (goal.ours, goal.theirs)]

    assert [pair for pair in pairs if not peer(pair[0]).offers(pair[1], OPERATIONS[pair[1]].family)] == []
    assert {goal.kind for goal in GOALS} <= set(goals.FIGURES)


def test_every_peer_is_there_under_its_name() -> None:
    assert [peer(name).name for name in MODULES] == list(MODULES)
    assert all(peer(name).title for name in MODULES)


def test_a_peer_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(peer("cacheops")), "package", "no_such_package")

    assert peer("cacheops").absent() == "no_such_package is not installed"


def test_the_page_tells_wins_losses_and_who_is_missing(found: dict[str, Any]) -> None:
    text = report.page(found, judged(found), "| save |", "2026-11-22")

    assert "| get 100 B ÷ socket | ≤ 1.25 | 1.4 | 1.25 – 1.5 | short |" in text
    assert "| cachekit, strict | 60 (0.6) |" in text
    assert "| cachekit, strict | 100 | 300 |" in text
    assert "| cachekit, strict | 90 | 0.85 (0.80 – 0.90) |" in text
    assert "`a.py:1 f`" in text
    assert "quick run" in text
    assert "- cachekit, near: not yet: this release has no near cache." in text
    assert "- ormcache, count: Wrong: it asked the database" in text


def test_the_readme_keeps_everything_but_the_figures(found: dict[str, Any]) -> None:
    text = f"before\n{report.MARKS[0]}old\n{report.MARKS[1]}\nafter\n"

    changed = report.readme(text, judged(found))

    assert changed.startswith("before\n")
    assert changed.endswith("\nafter\n")
    assert "old" not in changed
    assert "| get 100 B ÷ django-redis | 0.6 | ≤ 0.6 |" in changed
    assert report.readme(changed, judged(found)) == changed


def test_pictures_are_whole(found: dict[str, Any]) -> None:
    pictures = report.plots(found, judged(found))

    assert set(pictures) == {"benchmarks-goals.svg", "benchmarks-times.svg"}
    for picture in pictures.values():
        assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_a_bar_is_longer_the_more_it_stands_for() -> None:
    picture = ElementTree.fromstring(bars("<title>", "µs", [Group("a & b", [Bar("x", 1, "1"), Bar("y", 90, "90")])]))

    first, second = (float(one.attrib["width"]) for one in picture.iter() if one.tag.endswith("rect"))
    assert 0 < first < second


def test_a_verdict_reads_as_a_line() -> None:
    goal = Goal("hits", "requests", ("", ""), ("", ""), 0.9, at_least=True)

    assert str(Verdict(goal, Ratio(0.8, 0.85, 1))) == "hits 0.85 (≥ 0.9: short)"
    assert str(Verdict(goal, None, absent=True)) == "hits – (≥ 0.9: not yet)"
