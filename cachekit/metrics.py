"""Counters for Prometheus, where prometheus_client is installed: fed by the thread that sends the statistics."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from cachekit import stats
from cachekit.core.tally import Asked
from cachekit.exceptions import MissingExtra

if TYPE_CHECKING:
    from prometheus_client import Counter


@cache
def requests() -> Counter:
    """Return `cachekit_requests_total{cache, door, result}`. Raises MissingExtra.

    A real counter, not a collector: with `PROMETHEUS_MULTIPROC_DIR` collectors of one's own are not asked.
    """
    try:
        from prometheus_client import Counter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra.of("prometheus") from error
    return Counter("cachekit_requests", "Lookups by cache, door and result", ["cache", "door", "result"])


def install() -> bool:
    """Have the counter fed from the first lookups on; False, and nothing done, without prometheus_client."""
    if find_spec("prometheus_client") is None:
        return False
    stats.observe(feed)
    return True


def feed(new: Mapping[Asked, int]) -> None:
    """Add what was counted since last time."""
    counter = requests()
    for (alias, door, _, result), times in new.items():
        counter.labels(cache=alias, door=door, result=result).inc(times)
