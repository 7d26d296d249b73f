"""The tables of cachekit, and the unmanaged models that give its admin pages a menu entry and permissions."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class AppliedBatch(models.Model):
    """A batch of write-behind increments that reached the database, recorded in the same transaction."""

    batch = models.CharField(max_length=64, primary_key=True)
    queue = models.CharField(max_length=200, db_index=True)
    rows = models.PositiveIntegerField()
    applied_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        verbose_name = _("applied batch")
        verbose_name_plural = _("applied batches")

    def __str__(self) -> str:
        return f"{self.queue} {self.batch}"


class Cache(models.Model):
    """The dashboard's place in the admin: no table, two permissions."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("view_cache", _("Can view caches, keys and statistics")),
            ("purge_cache", _("Can purge keys, patterns, tags and models")),
        ]
        verbose_name = _("cache")
        verbose_name_plural = _("caches")
