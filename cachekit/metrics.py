"""Counters for Prometheus, where prometheus_client is installed: fed by the thread that sends the statistics."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from cachekit import hooks, stats
from cachekit.consistency import RIGS
from cachekit.core.tally import Asked
from cachekit.exceptions import MissingExtra

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge


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
    hooks.subscribe(hooks.Relayed, feed_relay)
    return True


@cache
def checks(rig: str) -> Counter:
    """Return `cachekit_audits_total` or `cachekit_shadows_total`, `{cache, door, result}`. Raises MissingExtra."""
    try:
        from prometheus_client import Counter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra.of("prometheus") from error
    what = {"audit": "Hits computed once more", "shadow": "Values computed in shadow mode"}[rig]
    return Counter(f"cachekit_{rig}s", f"{what}, by cache, door and result", ["cache", "door", "result"])


def feed(new: Mapping[Asked, int]) -> None:
    """Add what was counted since last time."""
    for (alias, door, _, result), times in new.items():
        rig, _, outcome = result.partition("-")
        counter = checks(rig) if rig in RIGS and outcome else requests()
        counter.labels(cache=alias, door=door, result=outcome or result).inc(times)


class RelayMetrics(NamedTuple):
    """What Prometheus is told of the relay that runs in this process."""

    rows: Counter
    waiting: Gauge
    oldest: Gauge
    looked: Gauge


@cache
def relay() -> RelayMetrics:
    """Return the metrics `cachekit_relay_…`; they appear once a relay has looked."""
    from prometheus_client import Counter, Gauge  # noqa: PLC0415 - an extra

    def gauge(name: str, what: str) -> Gauge:
        return Gauge(f"cachekit_relay_{name}", what, multiprocess_mode="mostrecent")

    return RelayMetrics(
        Counter("cachekit_relay_rows", "Rows of outboxes that were delivered to every cache"),
        gauge("waiting_rows", "Rows that stand in outboxes"),
        gauge("lag_seconds", "How long the oldest row has stood there"),
        gauge("last_look_timestamp_seconds", "When the relay last looked"),
    )


def feed_relay(told: hooks.Relayed) -> None:
    """Note a look of the relay in this process."""
    known = relay()
    known.rows.inc(told.rows)
    known.waiting.set(told.waiting)
    known.oldest.set(told.oldest)
    known.looked.set_to_current_time()


def serve(port: int) -> None:
    """Answer Prometheus on a port of this process's own: the relay is no web server. Raises MissingExtra."""
    if not install():
        raise MissingExtra.of("prometheus")
    from prometheus_client import start_http_server  # noqa: PLC0415 - an extra

    start_http_server(port)
