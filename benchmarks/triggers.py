"""What triggers cost a database, and how soon readers see what others commit: `python -m benchmarks.triggers`.

Transactions a second are pgbench's, 16 clients that each update a row by its key and commit to disk (fsync on), without
triggers, with them, and with them while a relay delivers; in rounds of the three, in an order drawn anew, with ratios
round by round. Server, clients and relay share this machine. Latency is from the return of another client's commit to
the first read here that shows it. Writes docs/benchmarks-triggers.md, but not when `--quick`.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness import machine
from tests.servers import Postgres, Valkey

PAGE = Path("docs/benchmarks-triggers.md")
HEAD = """# What triggers cost, and how soon they are heard

`python -m benchmarks.triggers` writes this page. {clients} clients of pgbench update a row by its key and commit to
disk (fsync on), in {rounds} rounds of {seconds} seconds each way, in an order drawn anew; the table has two declared
indexes. The last column is what one takes of the server's processors. Server, clients, relay
and readers share one machine of {cores} cores with whatever else runs there, which takes from the ratio too: where the
disk is waited for it is better, where processors are, worse.

Measured {date} on Python {python}, {system}, at a load average of {load:.0f} when it began.

{figures}
"""
ROWS = 10_000
CLIENTS = 16
WAYS = ("without", "with", "with, relayed")
SCRIPT = f"\\set id random(1, {ROWS})\nUPDATE zoo_book SET stock = stock + 1 WHERE id = :id;\n"
DURABLE = ("--fsync=on", "--synchronous_commit=on", "--full_page_writes=on")


def configured(postgres: Postgres, valkey: Valkey) -> None:
    """Set Django up on these servers, and fill a table."""
    os.environ |= {
        "CACHEKIT_TEST_REDIS_URL": valkey.url,
        "CACHEKIT_TEST_POSTGRES_PORT": str(postgres.port),
        "CACHEKIT_TEST_FOLDER": str(valkey.folder),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    import django

    django.setup()
    from django.db import connections

    for one in connections.all():
        one.creation.create_test_db(verbosity=0, autoclobber=True)
    from tests.zoo.models import Author, Book

    author = Author.objects.create(name="Ada")
    Book.objects.bulk_create([Book(title=f"Book {n}", author=author) for n in range(ROWS)])


@contextlib.contextmanager
def relaying() -> Iterator[None]:
    """Run a relay as a project would."""
    command = [sys.executable, "-m", "django", "cachekit", "relay"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.terminate()
            process.communicate()


def throughput(postgres: Postgres, rounds: int, seconds: int) -> dict[str, list[Rate]]:
    """Return transactions a second and microseconds of the server's for one, a pair a round and way."""
    from django.db import connection

    from cachekit import triggers
    from tests.zoo.models import Book

    found: dict[str, list[Rate]] = {way: [] for way in WAYS}
    draw = random.Random(1)
    pgbench(postgres, 2)
    for _ in range(rounds):
        for way in draw.sample(WAYS, len(WAYS)):
            triggers.remove("default", [Book])
            if way != "without":
                triggers.install("default", [Book])
            with relaying() if way == "with, relayed" else contextlib.nullcontext():
                found[way].append(pgbench(postgres, seconds))
            with connection.cursor() as cursor:
                # no dead rows, whose vacuum another way would pay for
                cursor.execute("TRUNCATE cachekit_outbox, cachekit_change")
    return found


class Rate(NamedTuple):
    """What one run of the clients shows."""

    a_second: float
    microseconds: float
    """Of processors, spent by the server for one transaction; 0 where nobody tells."""


def pgbench(postgres: Postgres, seconds: int) -> Rate:
    """Run the clients."""
    script = postgres.folder / "update.sql"
    script.write_text(SCRIPT)
    where = ["-h", "127.0.0.1", "-p", str(postgres.port), "-U", "postgres"]
    words = ["-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds), "-f", str(script)]
    command = [str(postgres.programs / "pgbench"), *where, *words, "cachekit_default"]
    before = spent(postgres)
    said = subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL)
    match, count = re.search(r"tps = ([\d.]+)", said), re.search(r"actually processed: (\d+)", said)
    assert match, said
    assert count, said
    return Rate(float(match[1]), (spent(postgres) - before) / int(count[1]) * 1e6)


def spent(postgres: Postgres) -> float:
    """Return the seconds of processors that a server and its children have taken, those that are gone included."""
    ticks = 0
    for pid in postgres.pids():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11 : 15 if pid == postgres.pid else 13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def latencies(count: int) -> list[float]:
    """Return the milliseconds from another client's commit to the first read that shows it."""
    import psycopg
    from django.db import connection

    from cachekit import cached, triggers
    from tests.zoo.models import Book

    @cached(600)
    def stock() -> int:
        return Book.objects.get(title="Book 7").stock

    triggers.install("default", [Book])
    known: dict[str, Any] = connection.get_connection_params()
    names = ("host", "port", "user", "dbname")
    taken, draw = [], random.Random(2)
    with psycopg.connect(**{name: known[name] for name in names}, autocommit=True) as outside, relaying():
        for n in range(count):
            stock()
            time.sleep(draw.uniform(0.01, 0.1))
            outside.execute("UPDATE zoo_book SET stock = %s WHERE title = 'Book 7'", [-n - 1])
            began = time.perf_counter()
            while stock() != -n - 1:
                time.sleep(0.0005)
            taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)


def quantile(values: list[float], share: float) -> float:
    """Return the value that this share of sorted values does not exceed."""
    return values[min(len(values) - 1, int(len(values) * share))]


def table(rates: dict[str, list[Rate]], waits: list[float]) -> str:
    """Return the figures as people read them."""
    head = (
        f"| triggers | transactions/s, {CLIENTS} clients | ratio, median of rounds | worst | best | µs of a processor |"
    )
    lines = [head]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for way in WAYS:
        pairs = zip(rates[way], rates["without"], strict=True)
        shares = sorted(mine.a_second / theirs.a_second for mine, theirs in pairs)
        spread = f"{statistics.median(shares):.2f} | {shares[0]:.2f} | {shares[-1]:.2f}"
        rate, cost = (statistics.median(found) for found in zip(*rates[way], strict=True))
        lines.append(f"| {way} | {rate:,.0f} | {spread} | {cost:.0f} |")
    p50, p99 = quantile(waits, 0.5), quantile(waits, 0.99)
    lines.append("")
    lines.append("A reader sees what another client has committed, through trigger, outbox and relay, after")
    lines.append(f"{p50:.0f} ms (p50), {p99:.0f} ms (p99), {waits[-1]:.0f} ms (longest of {len(waits)}).")
    return "\n".join(lines)


def main(*, quick: bool) -> None:
    """Measure, print a table, write the page, and keep the figures."""
    load = os.getloadavg()[0]
    rounds, seconds = (3, 2) if quick else (21, 2)
    with Postgres(*DURABLE) as postgres, Valkey() as valkey:
        configured(postgres, valkey)
        waits = latencies(50 if quick else 400)
        rates = throughput(postgres, rounds, seconds)
        from django.db import connections

        connections.close_all()
    figures = table(rates, waits)
    print(figures)
    if not quick:
        today = datetime.datetime.now(tz=datetime.UTC).date()
        known = {
            "clients": CLIENTS,
            "rounds": rounds,
            "seconds": seconds,
            "date": today,
            "figures": figures,
            "load": load,
        }
        PAGE.write_text(HEAD.format(**known, **machine()))
    folder = Path(".cache/benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    found = {"name": "triggers", "machine": machine(), "rates": rates, "latencies_ms": waits}
    (folder / "triggers.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
