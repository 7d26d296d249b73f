"""Sentinel: the master is asked for at each connection, and a failover that loses writes leaves nothing stale."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from django.core.cache import caches

from tests.faults.conftest import MakeSite
from tests.faults.site import BESIDE, until
from tests.servers import Sentinel, Valkey
from tests.twins import Call

AT_ONCE = ("--repl-diskless-sync-delay", "0", "--shutdown-timeout", "0")


class Trio(NamedTuple):
    """A master, its replica and the sentinel that watches them."""

    master: Valkey
    replica: Valkey
    sentinel: Sentinel

    def promoted(self) -> bool:
        """Tell whether the replica has become the master."""
        return self.sentinel.master_port == self.replica.port

    def in_step(self) -> bool:
        """Tell whether the replica has all that the master has."""
        return offset(self.master, "master_repl_offset") == offset(self.replica, "slave_repl_offset")


@pytest.fixture
def trio() -> Iterator[Trio]:
    """A master, its replica and the sentinel that watches them, for this test alone."""
    with ExitStack() as stack:
        master = stack.enter_context(Valkey(*AT_ONCE))
        replica = stack.enter_context(Valkey(*AT_ONCE, "--replicaof", "127.0.0.1", str(master.port)))
        sentinel = stack.enter_context(Sentinel(master, down_after=1500))  # longer than a busy machine stops
        until(lambda: sentinel.knows(replica))
        yield Trio(master, replica, sentinel)


def test_a_failover_that_loses_writes_leaves_nothing_stale(trio: Trio, make_site: MakeSite, call: Call) -> None:
    site = make_site("redis://mymaster/0", call, SENTINELS=[trio.sentinel.address])
    site.warm()
    until(trio.in_step)

    trio.replica.pause()
    trio.master.say("CLIENT KILL TYPE replica")  # else what it has missed waits in its socket
    assert site.write()
    site.read_everywhere()
    trio.master.kill()
    trio.replica.resume()
    while not trio.promoted():
        site.write("other")  # what is written to the row now would be told again, and hide what was lost
        site.read_everywhere()
    site.read_everywhere(2)

    site.recovers()
    assert trio.replica.say("EXISTS {ck}:root").startswith(":1")


def test_a_failover_by_hand_leaves_nothing_stale(trio: Trio, make_site: MakeSite, call: Call) -> None:
    """The old master lives on; that it takes no writes without a replica keeps it from being a second one."""
    trio.master.say("CONFIG SET min-replicas-to-write 1")
    site = make_site("redis://mymaster/0", call, SENTINELS=[trio.sentinel.address])
    until(site.write)
    site.read_everywhere(2)

    trio.sentinel.say("SENTINEL FAILOVER mymaster")
    while not trio.promoted():  # the sentinel tells the old master some ten seconds later
        site.write()
        site.store_of(BESIDE).reset()  # a process that connects anew
        site.read_everywhere()

    site.recovers()
    cache: Any = caches["default"]
    until(lambda: call(cache.set, "k", 1))
    assert trio.replica.say(f"EXISTS {cache.client.make_key('k')}").startswith(":1"), "the new master has it"
    assert call(cache.get, "k") == 1
    assert cache.sadd("s", 1) == 1
    with cache.lock("l", timeout=5):
        assert cache.lock("l").locked()


def offset(server: Valkey, name: str) -> str:
    """Return how far a server is in the stream of writes."""
    return next(line for line in server.say("INFO replication").splitlines() if line.startswith(name)).split(":")[1]
