"""Plug the rooms together."""

from __future__ import annotations

import sys

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class CachekitConfig(AppConfig):
    """The app `cachekit`: add it to INSTALLED_APPS."""

    name = "cachekit"
    label = "cachekit"
    verbose_name = _("Cache")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let the ORM's reads and writes be seen; connect, and do nothing else."""
        from cachekit import checks, computing, hooks, instances, invalidation, logs, orm, outbox, stats, warming  # noqa: F401, PLC0415 - the registry must be ready

        orm.install()
        post_migrate.connect(_refresh_triggers, sender=self, dispatch_uid="cachekit.triggers")
        logs.install()
        computing.plug(orm.dirty_tags, orm.oldest, orm.apart)
        invalidation.plug(orm.drained, orm.open_connections, orm.repeated)
        invalidation.plug_recorder(outbox.record)
        hooks.subscribe(hooks.Lookup, stats.count, many=stats.count_many)
        _hear_of_audits()
        warming.discover()
        if (writethrough := sys.modules.get("cachekit.writethrough")) is not None:
            writethrough.check()
        if sys.modules.get("celery"):  # as it is by now in every worker and beat; who does not use it pays nothing
            from cachekit import beat, tasks  # noqa: F401, PLC0415 - as above; the tasks register themselves

            beat.plug()


def _hear_of_audits() -> None:
    """Have audits and the shadow mode counted, and mismatches looked at again."""
    from cachekit import auditing, consistency, hooks, suspects  # noqa: PLC0415 - the registry must be ready

    hooks.subscribe(hooks.Audited, consistency.count_audit)
    hooks.subscribe(hooks.Shadowed, consistency.count_shadow)
    hooks.subscribe(auditing.Suspect, suspects.watch)


def _refresh_triggers(*, using: str, **_: object) -> None:
    """Have triggers know the columns and declared indexes as they are after a migration."""
    from cachekit import triggers  # noqa: PLC0415 - the registry must be ready

    triggers.refresh(using)
