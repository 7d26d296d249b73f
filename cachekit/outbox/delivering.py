"""Tell the caches what stands in a database's outbox, page by page, each page counted as a round."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from django.db import transaction

from cachekit.exceptions import StoreUnavailable
from cachekit.invalidation import relayed
from cachekit.models import Outbox, Told
from cachekit.outbox import changes, standing
from cachekit.outbox.lines import tags_in
from cachekit.outbox.repairing import repaired
from cachekit.outbox.standing import Standing
from cachekit.outbox.writing import name_of
from cachekit.stores import aliases as known_aliases, store_for
from cachekit.stores.marks import advance
from cachekit.stores.settled import settled
from cachekit.stores.turns import server_of

PAGE = 500
AT_ONCE = 1000
"""So many tags at most are told in one round trip: a server does nothing else meanwhile."""


class Delivery(NamedTuple):
    """How many rows are done, and the caches that have not got all that stood there."""

    rows: int
    missed: frozenset[str] = frozenset()


def relay(using: str) -> int:
    """Deliver what stands in a database's outbox; return how many rows are done. Several may run at once."""
    found = standing.of(using)
    if found is None:
        return 0
    repaired(found)
    return deliver(found).rows


def deliver(found: Standing, stopped: Callable[[], bool] = bool) -> Delivery:
    """Deliver what stands in a database's outbox, to those caches that remember what they were told before.

    Rows are told and deleted in one transaction, and pages one after the other, whoever tells them: a relay that dies
    leaves its page to the next. `stopped` is asked between two pages.
    """
    using, count, last, left = found.using, 0, 0, set[str]()
    rows = Outbox.objects.using(using).order_by("pk")
    while changes.wait(using) or rows.filter(pk__gt=last).exclude(aliases__in=left).exists():
        with transaction.atomic(using=using), standing.counted(found) as turn:
            if turn is None or stopped():  # another relay is at it, or should be
                return Delivery(count, frozenset(known_aliases()))
            page = [*changes.take(using, PAGE), *rows.filter(pk__gt=last).exclude(aliases__in=left)[:PAGE]]
            if not page:
                break  # another relay has told them
            count += _tell(turn, page, left)
        last = page[-1].pk or last  # those of triggers come first, and have none
    changes.sweep(using)
    return Delivery(count, frozenset(alias for kept in left for alias in kept.split("\n")))


def tick(found: Standing) -> None:
    """Count a round in which nothing was told, so that an older state of database or server is noticed by its count.

    What has been kept long enough is pruned.
    """
    with transaction.atomic(using=found.using), standing.counted(found) as turn:
        if turn is not None:
            for alias in known_aliases():
                _counted_for(turn, alias)
            standing.prune(found.using)


def _tell(turn: Standing, page: list[Outbox], left: set[str]) -> int:
    """Tell every cache what these rows hold; those that a cache has not got stay, for that cache alone."""
    missing: list[list[str]] = [[] for _ in page]
    for alias in known_aliases():
        wanted = [place for place, row in enumerate(page) if alias in (row.aliases.split() or [alias])]
        untold = wanted and not _told_to(turn.using, alias, [page[place] for place in wanted])
        if untold or (wanted and not _counted_for(turn, alias)):
            for place in wanted:
                missing[place].append(alias)
    rows = Outbox.objects.using(turn.using)
    done = [row for row, aliases in zip(page, missing, strict=True) if not aliases]
    if standing.keeps():
        kept_rows = [Told(round=turn.rounds, tags=row.tags, transaction=row.transaction) for row in done]
        Told.objects.using(turn.using).bulk_create(kept_rows)
    rows.filter(pk__in=[row.pk for row in done if row.pk]).delete()
    _keep(turn.using, page, missing)
    left.update("\n".join(aliases) for aliases in missing if aliases)
    return len(done)


def _keep(using: str, page: list[Outbox], missing: list[list[str]]) -> None:
    """Keep rows in the outbox for the caches that have not got them."""
    rows, added = Outbox.objects.using(using), list[Outbox]()
    for row, aliases in zip(page, missing, strict=True):
        kept = "\n".join(aliases)
        if not kept or kept == row.aliases:
            continue
        row.aliases = kept
        if row._state.adding:
            added.append(row)
        else:
            rows.filter(pk=row.pk).update(aliases=kept)
    rows.bulk_create(added)


def _counted_for(turn: Standing, alias: str) -> bool:
    """Note in a cache that it was told this round; False where it is away or lacks an earlier one."""
    store = store_for(alias)
    if server_of(store) is None:
        return True
    try:
        noted = advance(store, turn.using, turn.database, turn.rounds, turn.caches.get(alias))
    except StoreUnavailable:
        return False
    if noted:
        turn.caches[alias] = turn.rounds
    return noted


def _told_to(using: str, alias: str, rows: Collection[Outbox]) -> bool:
    """Tell a cache what rows hold, but for what their writers told it themselves; return whether it has got it."""
    names = {number: name_of(using, number) for row in rows if (number := row.transaction) is not None}
    try:
        known = settled(store_for(alias), set(names.values()))
    except StoreUnavailable:
        return False
    texts = dict.fromkeys(row.tags for row in rows if names.get(row.transaction or 0, "") not in known)
    tags = list(dict.fromkeys(tag for text in texts for tag in tags_in(text)))
    parts = [tags[at : at + AT_ONCE] for at in range(0, len(tags), AT_ONCE)]
    return all(relayed(part, [alias]) for part in parts)
