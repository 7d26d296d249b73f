"""One peer in a process of its own: it is told on its standard input what to do, and answers with times."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.pins import CLIENT, pin

PAGE = 1000


def main() -> None:
    """Do what the lines say, one after the other."""
    pin(CLIENT)
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.writes.settings"
    import django

    django.setup()
    from django.core.management import call_command

    from benchmarks.writes.models import Item

    call_command("migrate", run_syncdb=True, verbosity=0)
    Item._default_manager.create(name="the one")
    known = {"fill": fill, "save": save, "invalidate": invalidate, "forget": forget}
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        word, count = line.split()
        print(json.dumps(known[word](int(count))), flush=True)


def fill(count: int) -> str:
    """Cache so many things that depend on the table."""
    from benchmarks.writes.models import Item

    peer = os.environ["BENCH_PEER"]
    if peer == "cachekit":
        _sealed(count)
    elif peer != "uncached":
        for n in range(count):
            list(Item._default_manager.filter(rank__gt=1_000_000_000 + n))
    return "filled"


def _sealed(count: int) -> None:
    """Store entries as `@cached` does, but a thousand in one round trip."""
    from cachekit.core import dependencies, steps
    from cachekit.core.entry import NEVER, Header, seal
    from cachekit.stores import store_for
    from cachekit.stores.redis import RedisStore
    from cachekit.stores.wire import pack

    store = store_for("default")
    assert isinstance(store, RedisStore)
    begun = store.do(steps.Begin(""))
    header = Header(begun.epoch, begun.read_point, begun.read_point, NEVER, 1, dependencies.encode(["writes.item"]))
    data = seal(header, b"x" * 100)
    for page in range(0, count, PAGE):
        commands = [pack("SET", store.key("function", str(n)), data) for n in range(page, min(page + PAGE, count))]
        store.wire.exchange(b"".join(commands), len(commands))


def save(count: int) -> list[float]:
    """Save the row in a transaction so many times; return the microseconds of each."""
    from django.db import transaction

    from benchmarks.writes.models import Item

    item = Item._default_manager.get(name="the one")

    def one() -> None:
        item.rank += 1
        with transaction.atomic():
            item.save()

    return _timed(one, count)


def invalidate(count: int) -> list[float]:
    """Invalidate everything that depends on the table."""
    from benchmarks.writes.models import Item
    from cachekit import invalidate as told

    return _timed(lambda: told(Item), count)


def forget(count: int) -> list[int]:
    """Invalidate so many rows that all differ; return the bytes that the server holds before and after."""
    from cachekit.invalidation import invalidate_tags
    from cachekit.stores import store_for

    client: Any = store_for("default").client  # type: ignore[attr-defined]
    before = client.info("memory")["used_memory"]
    for page in range(0, count, PAGE):
        invalidate_tags([f"writes.item#{n}" for n in range(page, page + PAGE)])
    return [before, client.info("memory")["used_memory"]]


def _timed(call: Callable[[], object], count: int) -> list[float]:
    clock, taken = time.perf_counter_ns, []
    for _ in range(count):
        began = clock()
        call()
        taken.append((clock() - began) / 1000)
    return taken


if __name__ == "__main__":
    main()
