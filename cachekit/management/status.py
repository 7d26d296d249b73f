"""What `manage.py cachekit status` tells: the caches, the warmers and the counters, as plain values."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from django.db import DatabaseError

from cachekit import outbox, warming, writebehind
from cachekit.databases import written_to
from cachekit.exceptions import StoreUnavailable
from cachekit.management import checked as checking
from cachekit.management.checked import CheckedStatus
from cachekit.outbox.health import DEAD, relays
from cachekit.stores import Store, aliases, store_for
from cachekit.stores.beats import Beat
from cachekit.stores.streams import refusal_of
from cachekit.stores.turns import server_of

EVICTS = "allkeys"
OLD_MASTER = "cache '{}': a master that was replaced goes on taking writes; set min-replicas-to-write on its servers"
NAMELESS = "cache '{}': its server tells no run id (INFO), so that it was restored goes unnoticed: set MAX_STALENESS"
DEAF = "cache '{}': its server refuses streams (XREVRANGE, XREAD BLOCK), so near values are asked for each time"
OVERDUE = 60
"""Seconds after which what stands in an outbox shows that no relay runs; beat looks every 10."""


class CacheStatus(NamedTuple):
    """One alias of CACHES; `state` is up, down or memory."""

    alias: str
    state: str
    detail: str = ""
    milliseconds: float | None = None
    memory_bytes: int | None = None
    keeps_counters: bool = True
    """Whether the server's eviction policy leaves alone what has no timeout."""
    ends_with_its_term: bool = True
    """Whether a master that sentinels have replaced takes no more writes."""
    has_name: bool = True
    """Whether a server that was started anew is told from the one before."""
    is_followed: bool = True
    """Whether the ledger's events can be read, by which near values are judged."""


class WarmerStatus(NamedTuple):
    """One warmer and its last run, on whatever machine."""

    name: str
    due: str
    started: str | None = None
    seconds: float | None = None
    result: str = "never ran"
    error: str = ""


class CounterStatus(NamedTuple):
    """One write-behind counter; `waiting` is None where the server is away."""

    name: str
    waiting: int | None
    flushed_by: str = "beat"


class OutboxStatus(NamedTuple):
    """What a database holds for the relay to deliver; `rows` is None where the database is away."""

    database: str
    rows: int | None
    oldest_seconds: float = 0


class Status(NamedTuple):
    """All there is to know at a glance."""

    caches: list[CacheStatus]
    warmers: list[WarmerStatus]
    counters: list[CounterStatus]
    outboxes: list[OutboxStatus]
    relays: list[Beat]
    consistency: list[CheckedStatus]
    trouble: list[str]


def status() -> Status:
    """Ask every server once; whoever is away is told as trouble, never raised."""
    caches = [_cache(store_for(alias)) for alias in aliases()]
    warmers, counters, outboxes, checked = _warmers(), _counters(), _outboxes(), checking.checked()
    trouble = [f"cache '{one.alias}' is down: {one.detail}" for one in caches if one.state == "down"]
    trouble += [f"warmer '{one.name}' failed: {one.error}" for one in warmers if one.result == "failed"]
    for counter in counters:
        if counter.flushed_by == "nobody":
            trouble.append(f"counter '{counter.name}' is unknown here: make it in models.py or caching.py")
    if writebehind.registered():
        trouble += [f"cache '{one.alias}' may evict waiting counts" for one in caches if not one.keeps_counters]
    trouble += [NAMELESS.format(one.alias) for one in caches if not one.has_name]
    trouble += [DEAF.format(one.alias) for one in caches if not one.is_followed]
    trouble += [OLD_MASTER.format(one.alias) for one in caches if not one.ends_with_its_term]
    trouble += [
        f"the outbox of database '{one.database}' waits for {one.oldest_seconds:.0f} s: run manage.py cachekit relay"
        for one in outboxes
        if one.oldest_seconds > OVERDUE
    ]
    trouble += checking.trouble(checked)
    return Status(caches, warmers, counters, outboxes, _relays(), checked, trouble)


def plain(found: Status) -> dict[str, Any]:
    """Return a status as JSON knows it."""
    return {
        name: [part if isinstance(part, str) else part._asdict() for part in parts]
        for name, parts in found._asdict().items()
    }


def _cache(store: Store) -> CacheStatus:
    server = server_of(store)
    if server is None:
        return CacheStatus(store.alias, "memory", "in this process only")
    began = time.perf_counter()
    try:
        with store.guard():
            server.ping()
            took = (time.perf_counter() - began) * 1000
            facts = _facts(server)
        told = not refusal_of(store)
    except StoreUnavailable as error:
        return CacheStatus(store.alias, "down", str(error))
    version = f"{facts.get('server_name', 'redis')} {facts.get('valkey_version') or facts.get('redis_version', '')}"
    evicts = str(facts.get("maxmemory_policy", "")).startswith(EVICTS)
    ends = "min_slaves_good_slaves" in facts or "sentinels" not in server.connection_pool.connection_kwargs
    used, named = facts.get("used_memory"), "run_id" in facts
    return CacheStatus(store.alias, "up", version, round(took, 2), used, not evicts, ends, named, told)


def _facts(server: Any) -> dict[str, Any]:
    """Return what INFO says of server, memory and replication; nothing where it is unknown or not allowed."""
    from redis.exceptions import ResponseError  # noqa: PLC0415 - where there is a server there is redis-py

    try:
        return {**server.info("server"), **server.info("memory"), **server.info("replication")}
    except ResponseError:
        return {}


def _warmers() -> list[WarmerStatus]:
    try:
        runs = {run.name: run for run in warming.runs()}
    except StoreUnavailable:
        runs = {}
    return [_warmer(one, runs.get(one.name)) for one in warming.registered()]


def _warmer(one: warming.Warmer, run: warming.WarmerRun | None) -> WarmerStatus:
    if run is None:
        return WarmerStatus(one.name, one.due)
    started = run.started.isoformat(timespec="seconds")
    return WarmerStatus(one.name, one.due, started, round(run.seconds, 3), run.result, run.error)


def _counters() -> list[CounterStatus]:
    known = []
    for counter in writebehind.registered():
        try:
            known.append(CounterStatus(counter.name, counter.waiting()))
        except StoreUnavailable:
            known.append(CounterStatus(counter.name, None))
    return known + [CounterStatus(name, waiting, "nobody") for name, waiting in writebehind.strays().items()]


def _relays() -> list[Beat]:
    try:
        return [one for one in relays() if one.ago <= DEAD]
    except StoreUnavailable:
        return []


def _outboxes() -> list[OutboxStatus]:
    found = []
    for using in written_to():
        try:
            waiting = outbox.waiting(using)
        except DatabaseError:
            found.append(OutboxStatus(using, None))
        else:
            found.append(OutboxStatus(using, waiting.rows, round(waiting.seconds, 3)))
    return found
