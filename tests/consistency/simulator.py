"""Run simulated worlds: `python -m tests.consistency.simulator --seed 1 --reads 1000000 --scenario races`."""

from __future__ import annotations

import argparse
import os
import sys
import time

import django

from tests.consistency.scenarios import PROMISED, SCENARIOS


def main() -> int:
    """Run what the command line asks for; fail if anything happened that may not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many of them")
    parser.add_argument("--reads", type=int, default=100_000, help="reads a seed")
    parser.add_argument("--scenario", choices=[*SCENARIOS, "all"], default="all")
    parser.add_argument("--trace", action="store_true", help="print what happened before the first stale read")
    asked = parser.parse_args()

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from tests.consistency.running import described, simulate

    names = PROMISED if asked.scenario == "all" else (asked.scenario,)
    failed = False
    for seed in range(asked.seed, asked.seed + asked.seeds):
        for name in names:
            began = time.perf_counter()
            world = simulate(seed, asked.reads, SCENARIOS[name], tracing=asked.trace)
            report, took = world.auditor.report, time.perf_counter() - began
            wrong = report.violations(SCENARIOS[name].expected)
            failed |= bool(wrong)
            print(f"{'FAILED' if wrong else 'ok':7}{name} {seed}: {described(report, SCENARIOS[name])}; {took:.1f} s")
            if wrong:
                print(*report.examples, sep="\n")
                print(*world.auditor.trace, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
