"""What goes wrong in a simulated world, at random and as often as its scenario says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from tests.consistency.actors import MILLISECOND, staff
from tests.consistency.hub import SECOND
from tests.consistency.world import World

ROOT = b"{sim}:root"
REFUSALS = (
    OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
    ReadOnlyError("You can't write against a read only replica."),
    ResponseError("MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to disk."),
    ResponseError("NOREPLICAS Not enough good replicas to write."),
)

Fault = Callable[[World], None]


def begin(world: World) -> None:
    """Start an actor for each kind of fault."""
    for mean, fault in _wanted(world):
        if mean:
            world.hub.spawn(world.outside, _again_and_again(world, mean, fault))


def _wanted(world: World) -> Iterator[tuple[float, Fault]]:
    scenario = world.scenario
    yield scenario.kills, kill
    yield scenario.evictions, evict
    yield scenario.evictions * 5, evict_root
    yield scenario.purges, purge
    yield scenario.steps, step
    yield scenario.outages, outage
    yield scenario.outages * 2, forget_scripts
    yield scenario.restarts, restart
    yield scenario.refusals, refuse
    yield scenario.restores, restore


def _again_and_again(world: World, mean: float, fault: Fault) -> Callable[[], None]:
    def run() -> None:
        while True:
            world.hub.sleep(int(world.rng.expovariate(1 / mean) * MILLISECOND))
            if world.ending:
                return
            world.auditor.report.happened[fault.__name__] += 1
            world.auditor.say(fault.__name__)
            fault(world)

    return run


def kill(world: World) -> None:
    """Kill a process between any two of its steps, and start another."""
    victim = world.workers[world.rng.randrange(len(world.workers))]
    world.kill(victim)
    staff(world, f"{victim.name}'"[-8:])


def evict(world: World) -> None:
    """Lose some keys, as a server does that is short of memory."""
    keys = list(world.server.keys)
    for _ in range(3):
        world.server.delete(keys[world.rng.randrange(len(keys))] if keys else b"")


def purge(world: World) -> None:
    """Remove some entries, as operators do: who comes next knows nothing of what they depended on."""
    entries = [key for key in world.server.keys if key.startswith(b"sim:")]
    for _ in range(3):
        world.server.delete(entries[world.rng.randrange(len(entries))] if entries else b"")


def evict_root(world: World) -> None:
    """Lose the root."""
    world.server.delete(ROOT)


def step(world: World) -> None:
    """Set the server's clock."""
    world.offset += world.rng.choice(world.scenario.jumps)


def outage(world: World) -> None:
    """Cut all processes off from the server."""
    world.network.down = True
    world.hub.sleep(int(world.rng.random() ** 2 * 2 * SECOND))
    world.network.down = False


def forget_scripts(world: World) -> None:
    """Do SCRIPT FLUSH."""
    world.server.forget_scripts()


def restart(world: World) -> None:
    """Start the server anew, empty."""
    world.server.flush()
    world.server.start()


def refuse(world: World) -> None:
    """Let the server take no more writes: for want of memory, disk or replicas, or as somebody's replica."""
    world.server.refusal = world.rng.choice(REFUSALS)
    world.hub.sleep(int(world.rng.random() * SECOND))
    world.server.refusal = None


def restore(world: World) -> None:
    """Restart the server from an older state."""
    snapshot = world.server.copy()
    world.hub.sleep(int(world.rng.random() * 2 * SECOND))
    world.server.restore(snapshot)
    world.server.start()
