"""`manage.py cachekit …`: what beat and the dashboard do, by hand, and what only a person should."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, DatabaseError

from cachekit import engine, metrics, outbox, triggers, warming, writebehind
from cachekit.exceptions import ImproperStore, InvalidTag, StoreUnavailable
from cachekit.management import checked
from cachekit.management.status import Status, plain, status
from cachekit.outbox.health import relay_of
from cachekit.stores import aliases
from cachekit.triggers import TriggerStatus

WRONG_USE = 2
"""The exit code for what the caller got wrong; 1 is for what went wrong here, as argparse and Django have it."""


class Command(BaseCommand):
    """Look after caches from the shell; exits with 0, 1 if something failed, 2 if it was called wrongly."""

    help = "Warm caches, flush write-behind counters, invalidate tags, and show how things are."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        tasks = parser.add_subparsers(
            dest="task", required=True, metavar="warm | flush-writes | relay | triggers | invalidate | trace | status"
        )
        warm = tasks.add_parser("warm", help="run one warmer, or all")
        warm.add_argument("name", nargs="?", help="the warmer's name, as `status` shows it")
        flush = tasks.add_parser("flush-writes", help="bring waiting counts to the database")
        flush.add_argument("name", nargs="?", help="the counter's name, as `status` shows it")
        relay = tasks.add_parser(
            "relay", help="deliver invalidations that a cache server could not be told; runs until stopped"
        )
        way = relay.add_mutually_exclusive_group()
        way.add_argument("--once", action="store_true", help="deliver what stands there now, then end")
        way.add_argument(
            "--check", action="store_true", help="tell whether a relay works on this host; exits with 0 or 1"
        )
        way.add_argument("--metrics-port", type=int, default=0, help="serve this relay's metrics to Prometheus")
        made = tasks.add_parser("triggers", help="have PostgreSQL tell what any client changes; `relay` delivers it")
        made.add_argument("action", choices=["install", "remove", "status"])
        made.add_argument("models", nargs="*", metavar="app.Model", help="which; all but sessions if not said")
        made.add_argument("--database", default=DEFAULT_DB_ALIAS)
        invalidate = tasks.add_parser("invalidate", help="make stale whatever depends on these tags")
        invalidate.add_argument("tags", nargs="+", metavar="tag", help="such as shop.product, shop.product#42 or home")
        trace = tasks.add_parser("trace", help="tell what invalidated a tag or an entry lately, and who")
        trace.add_argument(
            "what", metavar="tag|key", help="such as shop.product#42, or a key as the dashboard shows it"
        )
        trace.add_argument("--cache", help="the alias of CACHES; all of them if not said")
        trace.add_argument("--limit", type=int, default=20)
        show = tasks.add_parser("status", help="show caches, warmers and counters")
        show.add_argument("--format", choices=["text", "json"], default="text")

    def handle(self, *, task: str, **options: Any) -> None:
        """Carry out a subcommand."""
        carry_out: dict[str, Callable[..., None]] = {
            "warm": self.warm,
            "flush-writes": self.flush_writes,
            "relay": self.relay,
            "triggers": self.triggers,
            "invalidate": self.invalidate,
            "trace": self.trace,
            "status": self.show_status,
        }
        carry_out[task](**options)

    def warm(self, *, name: str | None, **_: Any) -> None:
        """Run one warmer, or all of them; one that fails does not keep the others from running."""
        failed = []
        for one in [name] if name else [warmer.name for warmer in warming.registered()]:
            try:
                run = warming.run(one)
            except warming.UnknownWarmer as error:
                raise CommandError(str(error), returncode=WRONG_USE) from error
            except Exception as error:  # noqa: BLE001 - a warmer is the project's code: whatever it raises is its failure
                self.stderr.write(self.style.ERROR(f"{one}: {type(error).__name__}: {error}"))
                failed.append(one)
            else:
                self.stdout.write(f"{one}: {run.result} in {run.seconds:.2f} s")
        if failed:
            raise CommandError(f"{len(failed)} of the warmers failed: {', '.join(failed)}")

    def flush_writes(self, *, name: str | None, **_: Any) -> None:
        """Flush one counter, or all of them."""
        try:
            done = writebehind.flush(name)
        except writebehind.UnknownCounter as error:
            raise CommandError(str(error), returncode=WRONG_USE) from error
        except (StoreUnavailable, DatabaseError) as error:
            raise CommandError(f"Not everything could be flushed, the rest waits: {error}") from error
        self.stdout.write(f"{done.rows} rows counted up, {done.missing} without a row, {done.refused} refused")

    def relay(self, *, once: bool, check: bool, metrics_port: int, **_: Any) -> None:
        """Deliver what stands in the outboxes, again and again until a signal comes; several may run at once."""
        if check:
            works, sentence = relay_of(socket.gethostname())
            if not works:
                raise CommandError(sentence)
            self.stdout.write(sentence)
            return
        if once:
            self.stdout.write(f"{outbox.relay_all()} delivered")
            return
        if metrics_port:
            metrics.serve(metrics_port)
        stop, relay = threading.Event(), outbox.Relay()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write("relaying; stop with SIGTERM or Ctrl-C")
        self.stdout.flush()
        relay.run(stop)
        self.stdout.write(f"stopped; {relay.delivered} delivered")

    def triggers(self, *, action: str, models: list[str], database: str, **_: Any) -> None:
        """Install, remove or show triggers; `status` exits with 1 where some are not as they should be."""
        try:
            chosen = triggers.models_of(database, models)
            if action == "status":
                self._show_triggers(triggers.status(database, chosen))
                return
            done = (triggers.install if action == "install" else triggers.remove)(database, chosen)
        except (triggers.Unsupported, LookupError, ValueError) as error:
            raise CommandError(str(error), returncode=WRONG_USE) from error
        word = "installed on" if action == "install" else "removed from"
        self.stdout.write(f"{word} {', '.join(done) or 'nothing'}")

    def _show_triggers(self, found: list[TriggerStatus]) -> None:
        for one in found:
            self.stdout.write(f"{one.model}: {one.state}")
        if faulty := [one.model for one in found if one.state in ("outdated", "incomplete")]:
            raise CommandError(f"Run manage.py cachekit triggers install {' '.join(faulty)}")

    def invalidate(self, *, tags: list[str], **_: Any) -> None:
        """Invalidate tags in every cachekit cache."""
        try:
            delivered = engine.invalidate(*tags, why="command", by="manage.py")
        except InvalidTag as error:
            raise CommandError(str(error), returncode=WRONG_USE) from error
        if not delivered:
            raise CommandError("A cache server is away: it was not told, and this process ends before it can be.")
        self.stdout.write(f"invalidated {', '.join(tags)}")

    def trace(self, *, what: str, cache: str | None, limit: int, **_: Any) -> None:
        """Tell what invalidated a tag or an entry, newest first."""
        try:
            for alias in [cache] if cache else aliases():
                for line in checked.traced(what, alias, limit):
                    self.stdout.write(line)
        except (InvalidTag, ImproperStore) as error:
            raise CommandError(str(error), returncode=WRONG_USE) from error
        except StoreUnavailable as error:
            raise CommandError(str(error)) from error

    def show_status(self, *, format: str, **_: Any) -> None:  # noqa: A002 - the option's name
        """Show how things are; exit with 1 if a cache is down or a warmer failed."""
        found = status()
        self.stdout.write(json.dumps(plain(found), indent=2) if format == "json" else _text(found))
        if found.trouble:
            raise CommandError("; ".join(found.trouble))


def _text(found: Status) -> str:
    lines = ["Caches"]
    for cache in found.caches:
        took = "" if cache.milliseconds is None else f"  {cache.milliseconds:.2f} ms"
        size = "" if cache.memory_bytes is None else f"  {cache.memory_bytes / 1_048_576:.1f} MiB"
        lines.append(f"  {cache.alias}: {cache.state}  {cache.detail}{took}{size}")
    lines.append("Warmers" if found.warmers else "No warmers")
    for warmer in found.warmers:
        last = warmer.result if warmer.started is None else f"{warmer.result} in {warmer.seconds} s at {warmer.started}"
        lines.append(f"  {warmer.name}: {warmer.due}, {last}{'  ' + warmer.error if warmer.error else ''}")
    lines.append("Write-behind counters" if found.counters else "No write-behind counters")
    for counter in found.counters:
        waiting = "server away" if counter.waiting is None else f"{counter.waiting} waiting"
        lines.append(f"  {counter.name}: {waiting}, flushed by {counter.flushed_by}")
    lines.append("Outboxes")
    for box in found.outboxes:
        rows = "database away" if box.rows is None else f"{box.rows} waiting"
        lines.append(f"  {box.database}: {rows}" + (f", the oldest for {box.oldest_seconds:.1f} s" if box.rows else ""))
    lines.append("Relays" if found.relays else "No relays")
    lines += [f"  {one.name}: looked {one.ago:.1f} s ago, {one.delivered} delivered" for one in found.relays]
    lines += checked.lines(found.consistency)
    return "\n".join(lines)
