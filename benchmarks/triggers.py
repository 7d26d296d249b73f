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
from typing import Any

from benchmarks.harness import machine
from tests.servers import Postgres, Valkey

PAGE = Path("docs/benchmarks-triggers.md")
HEAD = """# What triggers cost, and how soon they are heard

`python -m benchmarks.triggers` writes this page. {clients} clients of pgbench update a row by its key and commit to
disk (fsync on), in {rounds} rounds of {seconds} seconds each way, in an order drawn anew; the table has two declared
indexes. Server, clients, relay and readers share one machine of {cores} cores with whatever else runs there, which
takes from the ratio too: where the disk is waited for it is better, where processors are, worse.

Measured {date} on Python {python}, {system}.

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


def throughput(postgres: Postgres, rounds: int, seconds: int) -> dict[str, list[float]]:
    """Return transactions a second, one figure a round and way."""
    from django.db import connection

    from cachekit import triggers
    from tests.zoo.models import Book

    found: dict[str, list[float]] = {way: [] for way in WAYS}
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


def pgbench(postgres: Postgres, seconds: int) -> float:
    """Run the clients; return transactions a second."""
    script = postgres.folder / "update.sql"
    script.write_text(SCRIPT)
    where = ["-h", "127.0.0.1", "-p", str(postgres.port), "-U", "postgres"]
    words = ["-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds), "-f", str(script)]
    command = [str(postgres.programs / "pgbench"), *where, *words, "cachekit_default"]
    said = subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL)
    match = re.search(r"tps = ([\d.]+)", said)
    assert match, said
    return float(match[1])


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


def table(rates: dict[str, list[float]], waits: list[float]) -> str:
    """Return the figures as people read them."""
    lines = [f"| triggers | transactions/s, {CLIENTS} clients | ratio, median of rounds | worst | best |"]
    lines.append("|---|---:|---:|---:|---:|")
    for way in WAYS:
        shares = sorted(mine / theirs for mine, theirs in zip(rates[way], rates["without"], strict=True))
        spread = f"{statistics.median(shares):.2f} | {shares[0]:.2f} | {shares[-1]:.2f}"
        lines.append(f"| {way} | {statistics.median(rates[way]):,.0f} | {spread} |")
    p50, p99 = quantile(waits, 0.5), quantile(waits, 0.99)
    lines.append("")
    lines.append("A reader sees what another client has committed, through trigger, outbox and relay, after")
    lines.append(f"{p50:.0f} ms (p50), {p99:.0f} ms (p99), {waits[-1]:.0f} ms (longest of {len(waits)}).")
    return "\n".join(lines)


def main(*, quick: bool) -> None:
    """Measure, print a table, write the page, and keep the figures."""
    rounds, seconds = (3, 2) if quick else (15, 3)
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
        known = {"clients": CLIENTS, "rounds": rounds, "seconds": seconds, "date": today, "figures": figures}
        PAGE.write_text(HEAD.format(**known, **machine()))
    folder = Path(".cache/benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    found = {"name": "triggers", "machine": machine(), "rates": rates, "latencies_ms": waits}
    (folder / "triggers.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
