"""The Celery tasks: three lines each, the work is done a floor below."""

from __future__ import annotations

from cachekit import outbox, warming, writebehind
from cachekit.exceptions import MissingExtra

try:
    from celery import shared_task
except ImportError as error:  # pragma: no cover - tried in a virtual environment of its own
    raise MissingExtra.of("celery") from error


@shared_task(name="cachekit.warm", ignore_result=True)
def warm(name: str) -> None:
    """Run one warmer; what it raises, Celery sees."""
    warming.run(name)


@shared_task(name="cachekit.flush_writes", ignore_result=True)
def flush_writes(name: str | None = None) -> None:
    """Bring the waiting increments of one write-behind counter, or of all, to the database."""
    writebehind.flush(name)


@shared_task(name="cachekit.relay", ignore_result=True)
def relay() -> None:
    """Tell the caches what they could not be told while they were away."""
    outbox.relay_all()
