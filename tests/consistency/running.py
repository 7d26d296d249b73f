"""Live through a simulated world, and say what came of it."""

from __future__ import annotations

import gc

from tests.consistency import actors, faults
from tests.consistency.auditor import KINDS, Report
from tests.consistency.hub import SECOND, START
from tests.consistency.scenarios import Scenario
from tests.consistency.world import World

QUIET = 25 * SECOND
"""After so long every intent has passed, every COMMIT landed, every outbox drained."""


def simulate(seed: int, reads: int, scenario: Scenario, *, tracing: bool = False, until_wrong: bool = False) -> World:
    """Live through one seed's world until it has been read so often, or wrongly; its auditor has the report."""
    world = World(seed, scenario, tracing=tracing)
    enabled = gc.isenabled()
    gc.disable()  # what is collected when is no seed's decision
    try:
        with world.plugged():
            for number in range(scenario.processes):
                actors.staff(world, f"web{number}")
            world.hub.spawn(world.worker("relay"), lambda: actors.relays(world))
            faults.begin(world)
            world.hub.spawn(world.outside, lambda: _direct(world, reads, until_wrong))
            world.hub.run()
    finally:
        if enabled:
            gc.enable()
    world.auditor.report.seconds = (world.hub.now - START) / SECOND
    return world


def _direct(world: World, reads: int, until_wrong: bool) -> None:
    """Wait until there were enough reads, let everything settle, look for what stays stale."""
    hub, report = world.hub, world.auditor.report
    while report.reads < reads:
        hub.sleep(SECOND // 20)
        if until_wrong and report.violations(world.scenario.expected):
            hub.finished = True
            return
    world.ending = True
    hub.sleep(QUIET)
    for worker in world.workers:
        hub.spawn(worker, lambda: actors.finds_lasting(world))
    hub.sleep(QUIET)
    hub.finished = True


def described(report: Report, scenario: Scenario) -> str:
    """Return a report for people to read."""
    kinds = [kind for kind in KINDS if report.stale[kind] or kind == "told"]
    stale = ", ".join(
        f"{kind} {report.stale[kind]:,} ({report.per_million(kind):,.0f}/million, "
        f"longest {report.longest[kind] / 1000:,.0f} ms{', documented' if kind in scenario.expected else ''})"
        for kind in kinds
    )
    return f"{report.reads:,} reads in {report.seconds:,.0f} s, {report.ratio:.1%} hits; stale: {stale}"
