"""Check cachekit and its peers: `python -m tests.consistency.checker --seed 1 --reads 1000000`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from cachekit.core.mirror import MAX_LAG
from tests import bytecode
from tests.consistency.checker import report
from tests.consistency.checker.director import Director, Outcome, Plan
from tests.consistency.checker.faults import FAULTS, SHORT
from tests.consistency.checker.figures import gather, missing
from tests.consistency.checker.subjects import SUBJECTS
from tests.servers import Postgres

EVERYBODY = ("cachekit", "tracked", "triggers", "aside", "cacheops", "cachalot")
ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs" / "explanation"
FIGURES = ROOT / ".cache" / "consistency.json"


def main() -> int:
    """Run what the command line asks for; fail if cachekit broke its promise."""
    asked = arguments()
    bytecode.keep(os.environ)  # processes are started again all the time
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended on the way out
    outcomes, found = [], {}
    with Postgres("--synchronous_commit=on", "--max_connections=60") as database:
        for name in asked.subject or EVERYBODY:
            if lacks := missing(SUBJECTS[name]):
                print(f"{name} is left out: {lacks} is not installed (pip install 'django-cachekit[consistency]')")
                continue
            outcome = Director(planned(asked, name), database).run()
            outcomes.append(outcome)
            found = gather([outcome], asked.json)
            print(report.described(name, found[name]), flush=True)
    if asked.docs:
        report.write(found, DOCS)
    return int(any(map(broken, outcomes)))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subject", action="append", choices=[*SUBJECTS], help="whom; all but mutants if not said")
    parser.add_argument("--seed", type=int, default=1, help="draws the order and length of faults, and the load")
    parser.add_argument("--reads", type=int, default=0, help="repeat the faults until cachekit was read so often")
    parser.add_argument("--peers", type=int, default=0, help="the same for the others")
    parser.add_argument("--fault", action="append", choices=[*FAULTS, "short"], help="which; all if not said")
    parser.add_argument("--readers", type=int, default=3)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--server", choices=["valkey", "redis"], default="valkey")
    parser.add_argument("--json", type=Path, default=FIGURES, help="where to gather the figures")
    parser.add_argument("--keep", type=Path, help="where to leave every process's log")
    parser.add_argument("--docs", action="store_true", help="write table and plot from them into the documentation")
    return parser.parse_args()


def planned(asked: argparse.Namespace, name: str) -> Plan:
    """Return the plan of one subject."""
    faults = asked.fault or ()
    return Plan(
        SUBJECTS[name],
        asked.seed,
        asked.reads if name == "cachekit" else asked.peers,
        SHORT if "short" in faults else faults,
        asked.readers,
        asked.writers,
        server=asked.server,
        keep=asked.keep,
    )


def broken(outcome: Outcome) -> bool:
    """Tell whether a subject that promises something has not kept it."""
    name, verdicts = outcome.plan.subject.name, outcome.verdicts
    if name not in ("cachekit", "tracked", "triggers"):
        return False
    stale, longest = verdicts.whole.stale, verdicts.whole.longest["acknowledged"] / 1e9
    late = longest > MAX_LAG if name == "tracked" else stale["acknowledged"]
    return bool(late or stale["phantom"] or stale["own"] or verdicts.lasting)


if __name__ == "__main__":
    sys.exit(main())
