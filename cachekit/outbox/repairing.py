"""Have caches that forgot what they were told forget everything, or tell it to them again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from cachekit.core.tags import EVERYTHING
from cachekit.databases import written_to
from cachekit.exceptions import StoreUnavailable
from cachekit.invalidation import relayed
from cachekit.models import Outbox, Told
from cachekit.outbox import changes, standing
from cachekit.outbox.lines import tags_in
from cachekit.outbox.standing import OTHER, RESTORED, Standing, fault
from cachekit.stores import Store, aliases as known_aliases, store_for
from cachekit.stores.marks import Mark, confirm, memory_of, reset
from cachekit.stores.settled import settled
from cachekit.stores.turns import server_of
from cachekit.stores.unproven import adopt, renounce, retell

AT_ONCE = 1000
"""So many tags at most are told in one round trip."""
MOST = 20_000
"""More rows than this are not told again: a new epoch costs less."""

logger = logging.getLogger("cachekit.relay")


def repaired(found: Standing) -> frozenset[str]:
    """Repair every cache that does not remember what it was told of a database; return those that are away."""
    away = []
    for alias in known_aliases():
        store = store_for(alias)
        if server_of(store) is None:
            continue
        try:
            memory = memory_of(store, found.using)
            if memory.former and standing.keeps():
                _prove(store, memory.former)
            else:
                _repair(store, memory.mark, found)
        except StoreUnavailable:
            away.append(alias)
    return frozenset(away)


def _repair(store: Store, held: Mark | None, found: Standing) -> None:
    reason = fault(held, found, store.alias)
    if reason in (OTHER, RESTORED):  # or another relay has gone on since `found` was read
        found = standing.of(found.using) or found
        reason = fault(held, found, store.alias)
    if not reason:
        if held is not None and held.told > found.rounds:
            standing.pass_over(found, held.told)
        elif held is not None and held.done < held.told:
            confirm(store, found.using, held.told)
        return
    missed = _missed(store, held, found)
    if missed is None:
        logger.warning("Everything in cache '%s' becomes stale: %s '%s'", store.alias, reason, found.using)
    else:
        logger.warning("Cache '%s' is told %d tags again: %s '%s'", store.alias, len(missed), reason, found.using)
    for part in _parts((EVERYTHING,) if missed is None else missed):
        if not relayed(part, [store.alias]):
            raise StoreUnavailable(f"The cache server of alias '{store.alias}' is away")
    reset(store, found.using, Mark(found.database, found.rounds, found.rounds))


def _prove(store: Any, former: bytes) -> None:
    """Tell a server that is another than the ledger was written on what it missed; until then nobody reads it."""
    standings = [found for using in written_to() if (found := standing.of(using)) is not None]
    wanted: list[str] = []
    for found in standings:
        missed = _missed(store, memory_of(store, found.using).mark, found)
        if missed is None:
            logger.warning(
                "Another server answers for cache '%s', and what it has missed of database '%s' is not known any more:"
                " everything becomes stale",
                store.alias,
                found.using,
            )
            renounce(store)
            break
        wanted += missed
    else:
        for part in _parts(wanted):
            retell(store, part)
        logger.warning("Another server answers for cache '%s': told %d tags again", store.alias, len(wanted))
    for found in standings:
        reset(store, found.using, Mark(found.database, found.rounds, found.rounds))
    adopt(store, former)


def _missed(store: Store, held: Mark | None, found: Standing) -> list[str] | None:
    """Return the tags of what a cache was told after a mark; None where nobody knows them."""
    if not standing.keeps() or fault(held, found, store.alias) in (OTHER, RESTORED):
        return None
    told = held.told if held is not None else 0
    if told < found.pruned or (held is None and found.caches.get(store.alias) is not None):
        return None
    # those that wait first: a row that is told meanwhile is found among those that were
    rows = changes.told(found.using, MOST + 1)
    rows += Outbox.objects.using(found.using).values_list("tags", "transaction")[: MOST + 1]
    kept = Told.objects.using(found.using).filter(round__gt=told).order_by("round")
    rows += kept.values_list("tags", "transaction")[: MOST + 1]
    if len(rows) > MOST:
        return None
    names = {number: f"{found.using}:{number}" for _, number in rows if number is not None}
    known = settled(store, set(names.values()))
    return list(
        dict.fromkeys(tag for tags, number in rows if names.get(number or 0) not in known for tag in tags_in(tags))
    )


def _parts(tags: Any) -> Iterator[tuple[str, ...]]:
    for at in range(0, len(tags), AT_ONCE):
        yield tuple(tags[at : at + AT_ONCE])
