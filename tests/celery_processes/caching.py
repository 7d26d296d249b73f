"""What beat finds by itself: warmers and counters; the counters can be stopped in mid-flush, to be killed there."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery.schedules import crontab

from cachekit import WriteBehindCounter, cached, warmer
from cachekit.additions import Outcome
from cachekit.stores.backlog import Backlog, Batch
from tests.celery_processes.models import Page, Word

ORDER = Path(os.environ["FLEET_FOLDER"]) / "stop-at"
POINTS = ("sealed", "claimed", "written", "committed", "dropped")


class Stoppable(WriteBehindCounter):
    """A counter that waits to be killed at the point which the file `stop-at` names."""

    lock_seconds = 0.3
    rows_a_batch = 5

    def _settle(self, backlog: Backlog, batch: Batch) -> Outcome:
        self._pass("sealed")
        outcome = super()._settle(backlog, batch)
        self._pass("dropped")
        return outcome

    def _apply(self, batch: Batch) -> Outcome:
        outcome = super()._apply(batch)
        self._pass("committed")
        return outcome

    def _claim(self, batch: Batch) -> bool:
        claimed = super()._claim(batch)
        self._pass("claimed")
        return claimed

    def _write(self, batch: Batch) -> Outcome:
        outcome = super()._write(batch)
        self._pass("written")
        return outcome

    def _pass(self, point: str) -> None:
        stopped = ORDER.with_name("stopped")
        if ORDER.exists() and ORDER.read_text() == point:
            ORDER.unlink()
            stopped.with_suffix(".part").write_text(str(os.getpid()))
            stopped.with_suffix(".part").rename(stopped)
            time.sleep(60)


views = Stoppable(Page, "views", flush_every=0.2)
uses = Stoppable(Word, "uses", flush_every=0.2)


@cached(timeout=600)
def titles() -> list[str]:
    """Return what the warmer has ready."""
    return list(Page.objects.values_list("title", flat=True))


@warmer(every=1, name="titles")
def warm_titles() -> None:
    """Have the titles ready."""
    titles()


@warmer(every=1, name="broken")
def fail() -> None:
    """Fail each time."""
    raise RuntimeError("no bread today")


@warmer(schedule=crontab(), name="each minute")
def warm_each_minute() -> None:
    """Have the titles ready at each full minute."""
    titles()
