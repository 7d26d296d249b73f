"""What the answers of all subjects come to, and the table of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tests.conformance.subjects import SUBJECTS
from tests.orm.reach import READS, WRITES, meets, tables_of

Answers = dict[str, Any]
"""By deed, then by read: answer and SQL before, answer and SQL after."""
Figures = dict[str, Any]


def figures_of(name: str, given: Answers, truth: Answers, shop: Figures | None) -> Figures:
    """Compare a subject's answers with those of plain Django."""
    tally: Counter[str] = Counter()
    stale_after: Counter[str] = Counter()
    for deed, right in truth.items():
        tally["troubles"] += bool(given[deed]["trouble"]) and not right["trouble"]
        for read, (before, _, after, _) in right["reads"].items():
            first, asked, second, asked_again = given[deed]["reads"][read]
            hit, changed, apart = not asked, before != after, not meets(READS[read], WRITES[deed])
            tally["pairs"] += 1
            tally["hits"] += hit
            tally["wrong"] += first != before
            tally["changed"] += hit and changed
            tally["stale"] += hit and second != after
            tally["apart"] += hit and apart
            tally["kept"] += hit and apart and not asked_again
            beside = hit and apart and not tables_of(READS[read]).isdisjoint(tables_of(WRITES[deed]))
            tally["beside"] += beside
            tally["beside_kept"] += beside and not asked_again
            stale_after[deed] += hit and second != after
    return {
        "title": SUBJECTS[name].title,
        **tally,
        "stale_after": {deed: count for deed, count in stale_after.items() if count},
        "shop": shop,
    }


def table(shown: Sequence[Figures]) -> str:
    """Return the figures in Markdown."""
    rows = ["| | " + " | ".join(one["title"] for one in shown) + " |", "|---|" + "---:|" * len(shown)]
    rows += [f"| {label} | " + " | ".join(figure(one) for one in shown) + " |" for label, figure in ROWS]
    for one in shown:
        if one["stale_after"]:
            listed = ", ".join(f"{deed} ({count})" for deed, count in one["stale_after"].items())
            rows += ["", f"Writes after which {one['title']} was stale, with the number of reads: {listed}."]
    return "\n".join(rows)


def _share(part: str, whole: str) -> Callable[[Figures], str]:
    return lambda found: f"{found[part] / max(found[whole], 1):.2%}"


def _number(what: str) -> Callable[[Figures], str]:
    return lambda found: f"{found.get(what, 0):,}"


def _of_shop(part: str, whole: str) -> Callable[[Figures], str]:
    return lambda found: f"{found['shop'][part] / max(found['shop'][whole], 1):.2%}" if found["shop"] else ""


ROWS: Sequence[tuple[str, Callable[[Figures], str]]] = (
    ("pairs of a read and a write", _number("pairs")),
    ("read from the cache the second time", _share("hits", "pairs")),
    ("of these, pairs whose answer the write changes", _number("changed")),
    ("**of these, stale after the write**", _number("stale")),
    ("pairs in the cache that have nothing to do with each other", _number("apart")),
    ("**of these, still valid after the write**", _share("kept", "apart")),
    ("of those over the same tables", _share("beside_kept", "beside")),
    ("writes that raised an error", _number("troubles")),
    ("answers that were wrong before any write", _number("wrong")),
    ("the demo's pages that take no SQL when warm", _of_shop("warm", "pages")),
    ("**of these, still valid after one product was edited**", _of_shop("kept", "warm")),
    ("of the list pages alone", _of_shop("lists_kept", "lists")),
)
