"""Count in the cache server and bring the sums to the database: a crash in between loses and doubles nothing."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from asgiref.sync import sync_to_async
from django.db import DatabaseError, IntegrityError, models, router, transaction
from django.utils import timezone

from cachekit.additions import Column, Outcome
from cachekit.conf import conf
from cachekit.exceptions import StoreUnavailable
from cachekit.models import AppliedBatch
from cachekit.stores import aliases, store_for
from cachekit.stores.turns import server_of, turn

if TYPE_CHECKING:
    from cachekit.stores.backlog import Backlog, Batch
    from cachekit.stores.redis import RedisStore

logger = logging.getLogger("cachekit.writebehind")

_counters: dict[str, WriteBehindCounter] = {}


class WriteBehindCounter:
    """A column that many requests count up: `views.add(product.pk)` costs one round trip to the cache server.

    Make it once, in `models.py` or `caching.py`, where worker and beat see it too; beat then has it flushed every
    `flush_every` seconds. `key` is "pk" or a unique field. Rows that are missing are made where all their other
    fields have defaults, else left out. On a cache in memory, and while the server is away, `add` writes to the
    database at once. What waits is as durable as the server: mind its persistence, and no `allkeys-…` eviction.
    """

    rows_a_batch = 1000
    batches_a_flush = 100
    lock_seconds: float = 10
    keep_ids = timedelta(days=7)

    def __init__(
        self,
        model: type[models.Model],
        field: str = "",
        key: str = "pk",
        *,
        name: str | None = None,
        alias: str | None = None,
        flush_every: float = 5,
    ) -> None:
        self.column = Column(model, field, key)
        self.name = name or f"{model._meta.label_lower}.{field}"
        self.alias = alias
        self.flush_every = flush_every
        self._pruned_at = 0.0
        if flush_every <= 0:
            raise ValueError(f"flush_every must be a positive number of seconds, not {flush_every!r}.")
        _register(self)

    def __repr__(self) -> str:
        return f"<WriteBehindCounter {self.name}>"

    def add(self, key: object, n: int = 1) -> None:
        """Add `n` to the row of `key`, soon; a rollback of the caller's transaction does not take it back.

        Raises InvalidKey where no row can have this key. An addition whose answer got lost on its way from the
        server may count twice: it is written to the database then.
        """
        field = self.column.text_of(key)
        backlog = self.backlog()
        try:
            if backlog is not None:
                backlog.add(field, n)
                return
        except StoreUnavailable as error:
            logger.debug("%s writes to the database at once: %s", self.name, error)
        self._add_directly(field, n)

    async def aadd(self, key: object, n: int = 1) -> None:
        """Like `add`."""
        field = self.column.text_of(key)
        backlog = self.backlog()
        try:
            if backlog is not None:
                await backlog.aadd(field, n)
                return
        except StoreUnavailable as error:
            logger.debug("%s writes to the database at once: %s", self.name, error)
        await sync_to_async(self._add_directly)(field, n)

    def pending(self, key: object) -> int:
        """Return what was added for `key` and has not reached the database. Raises StoreUnavailable."""
        backlog = self.backlog()
        return backlog.pending(self.column.text_of(key)) if backlog else 0

    def waiting(self) -> int:
        """Return for how many keys something is pending. Raises StoreUnavailable."""
        backlog = self.backlog()
        return backlog.waiting() if backlog else 0

    def flush(self) -> Outcome:
        """Bring what is pending to the database, a transaction a batch; do nothing where another flushes now.

        Raises StoreUnavailable or DatabaseError: what was not applied waits for the next flush. Must not be called
        inside a transaction.
        """
        outcome = Outcome()
        backlog = self.backlog()
        if backlog is None:
            return outcome
        with turn(backlog.store, f"wb:{self.name}", seconds=self.lock_seconds) as mine:
            if not mine:
                return outcome
            for left in backlog.sealed():
                outcome = outcome.plus(self._settle(backlog, backlog.read(left)))
            for _ in range(self.batches_a_flush):
                batch = backlog.seal(self.rows_a_batch)
                if batch is None:
                    break
                outcome = outcome.plus(self._settle(backlog, batch))
        if outcome.missing:
            logger.info("%s: %d keys have no row (any more); their counts were dropped", self.name, outcome.missing)
        self._prune()
        return outcome

    def backlog(self) -> Backlog | None:
        """Return where increments wait, or None where they are written at once."""
        store = store_for(self.alias or conf().ALIAS)
        if server_of(store) is None:
            return None
        from cachekit.stores.backlog import Backlog  # noqa: PLC0415 - redis is an extra

        return Backlog(cast("RedisStore", store), self.name)

    @property
    def database(self) -> str:
        """The alias of the database that has the model's rows; cachekit's tables must be migrated there too."""
        return router.db_for_write(self.column.model)

    def _settle(self, backlog: Backlog, batch: Batch) -> Outcome:
        """Apply a batch unless its id says that it was, then drop it; both may be done again after a crash."""
        outcome = self._apply(batch) if batch.increments else Outcome()
        backlog.drop(batch.id)
        return outcome

    def _apply(self, batch: Batch) -> Outcome:
        with transaction.atomic(using=self.database, durable=True):
            return self._write(batch) if self._claim(batch) else Outcome()

    def _claim(self, batch: Batch) -> bool:
        """Record the batch's id first: another flusher waits here for our commit, and is refused after it."""
        try:
            with transaction.atomic(using=self.database):
                applied = AppliedBatch(batch=batch.id, counter=self.name, rows=len(batch.increments))
                applied.save(force_insert=True, using=self.database)
        except IntegrityError:
            return False
        return True

    def _write(self, batch: Batch) -> Outcome:
        return self.column.add(batch.increments, self.database)

    def _add_directly(self, field: str, n: int) -> None:
        with transaction.atomic(using=self.database):
            self.column.add({field: n}, self.database)

    def _prune(self) -> None:
        """Forget old ids once an hour; batches left behind were settled just before, so that none is needed."""
        if self._pruned_at and time.monotonic() - self._pruned_at < 3600:
            return
        self._pruned_at = time.monotonic()
        old = timezone.now() - self.keep_ids
        AppliedBatch.objects.using(self.database).filter(counter=self.name, applied_at__lt=old).delete()


class UnknownCounter(LookupError):
    """No write-behind counter has this name."""


def registered() -> list[WriteBehindCounter]:
    """Return this process's counters by name."""
    return [_counters[name] for name in sorted(_counters)]


def flush(name: str | None = None) -> Outcome:
    """Flush one counter, or all: one that fails does not keep the others waiting; its error is raised at the end."""
    if name is not None:
        return _named(name).flush()
    outcome, errors = Outcome(), []
    for counter in registered():
        try:
            outcome = outcome.plus(counter.flush())
        except (DatabaseError, StoreUnavailable) as error:
            logger.warning("%s could not be flushed, its counts wait: %s", counter.name, error)
            errors.append(error)
    if errors:
        raise errors[0]
    return outcome


def strays() -> dict[str, int]:
    """Return the waiting keys of each counter that this process does not know, on the servers that answer.

    It is made in a module that worker and beat do not import, or its code is gone.
    """
    found: dict[str, int] = {}
    for store in map(store_for, aliases()):
        if server_of(store) is None:
            continue
        try:
            found |= _strays(cast("RedisStore", store))
        except StoreUnavailable:
            continue
    return found


def _strays(store: RedisStore) -> dict[str, int]:
    from cachekit.stores.backlog import Backlog  # noqa: PLC0415 - redis is an extra

    backlogs = [Backlog(store, name) for name in Backlog(store, "").names() if name not in _counters]
    waiting = {backlog.name: backlog.waiting() for backlog in backlogs}
    return {name: keys for name, keys in waiting.items() if keys}


def _register(counter: WriteBehindCounter) -> None:
    present = _counters.get(counter.name)
    if present is not None:
        raise ValueError(
            f"Two write-behind counters are called '{counter.name}'. Make a counter once, at the top of a module, "
            "and import it from there; a second one for the same column needs a name of its own: name=…"
        )
    _counters[counter.name] = counter


def _named(name: str) -> WriteBehindCounter:
    try:
        return _counters[name]
    except KeyError:
        known = ", ".join(sorted(_counters)) or "none"
        raise UnknownCounter(
            f"No write-behind counter is called '{name}' (known: {known}). "
            "Make it in models.py or caching.py of an installed app."
        ) from None
