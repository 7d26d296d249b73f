"""The tables of cachekit, and the unmanaged models that give its admin pages a menu entry and permissions."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class AppliedBatch(models.Model):
    """A batch of write-behind increments that reached this database, recorded in the same transaction.

    A batch whose id stands here is never applied again; rows older than a week are pruned by the flush itself.
    """

    batch = models.CharField(_("batch"), max_length=64, primary_key=True)
    counter = models.CharField(_("counter"), max_length=200)
    rows = models.PositiveIntegerField(_("rows"))
    applied_at = models.DateTimeField(_("applied at"), auto_now_add=True, db_index=True)

    class Meta:
        verbose_name = _("applied batch")
        verbose_name_plural = _("applied batches")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.counter} {self.batch}"


class NoRows(models.Manager["Cache"]):
    """Finds nothing without asking: `dumpdata` goes through every model, and this one has no table."""

    def get_queryset(self) -> models.QuerySet[Cache]:
        """Return what is empty."""
        return super().get_queryset().none()


class Cache(models.Model):
    """The dashboard's place in the admin: no table, two permissions."""

    objects = NoRows()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions = ()
        permissions = (
            ("view_cache", _("Can view caches, keys and statistics")),
            ("purge_cache", _("Can purge keys, patterns, tags and models")),
        )
        verbose_name = _("cache")
        verbose_name_plural = _("caches")


class Outbox(models.Model):
    """Tags whose invalidation a cache server has not got: written in the transaction that changed the data."""

    tags = models.TextField(_("tags"))
    """One a line; in lines of triggers a mark and a value as the database writes it: see `outbox.lines`."""
    aliases = models.CharField(_("aliases"), max_length=500, blank=True)
    """The caches to tell, one a line; empty for all."""
    written_at = models.DateTimeField(_("written at"), default=timezone.now)
    transaction = models.BigIntegerField(_("transaction"), null=True, blank=True, editable=False)
    """PostgreSQL's id of the transaction, where a trigger wrote this: its writer may have told the caches itself."""

    class Meta:
        verbose_name = _("undelivered invalidation")
        verbose_name_plural = _("undelivered invalidations")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.pk}: {self.tags[:80]}"


CHANGES = "cachekit_change"
"""On PostgreSQL, the table in which triggers write: see `outbox.changes`."""


class RelayState(models.Model):
    """How far this database's outbox was relayed, in one row: a relay locks it while it tells a page."""

    identity = models.CharField(_("identity"), max_length=32, editable=False)
    """Drawn when the row is made: which database this is, wherever it is restored."""
    rounds = models.BigIntegerField(_("rounds"), default=0, editable=False)
    caches = models.JSONField(_("caches"), default=dict, editable=False)
    """The round that each cache was told of last, by alias."""
    pruned = models.BigIntegerField(_("pruned"), default=0, editable=False)
    """The last round of which nothing is kept."""

    class Meta:
        verbose_name = _("state of the relay")
        verbose_name_plural = _("states of the relay")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.identity}: {self.rounds} rounds"


class Told(models.Model):
    """A row of the outbox that every cache was told of, kept for those that forget: `CACHEKIT["OUTBOX"] = "always"`."""

    round = models.BigIntegerField(_("round"), db_index=True, editable=False)
    tags = models.TextField(_("tags"), editable=False)
    transaction = models.BigIntegerField(_("transaction"), null=True, blank=True, editable=False)
    told_at = models.DateTimeField(_("told at"), default=timezone.now, db_index=True, editable=False)

    class Meta:
        verbose_name = _("delivered invalidation")
        verbose_name_plural = _("delivered invalidations")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.round}: {self.tags[:80]}"
