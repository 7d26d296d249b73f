"""A process that forks after it has connected; each side then goes on reading and writing, called and awaited."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

ROUNDS = 25


def main(folder: str) -> None:
    """Fork, work on both sides, and print what the parent found in the end; twice."""
    import django

    django.setup()
    from django.conf import settings

    settings.CACHEKIT = {"STATS_INTERVAL": 0}  # no thread, so that nothing but this code is forked
    shared = Path(folder) / "shared"
    shared.write_text("before")
    work("before", 2)
    assert page("shared", shared.read_text) == "before"

    child = os.fork()
    if not child:
        os._exit(side(shared, "forked"))
    work("parent", ROUNDS)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), page("shared", shared.read_text))

    process = multiprocessing.get_context("fork").Process(target=exiting, args=(shared, "multiprocessed"))
    process.start()
    work("parent", ROUNDS)
    process.join()
    print(process.exitcode, page("shared", shared.read_text))


def exiting(shared: Path, name: str) -> None:
    """Exit with what `side` returns."""
    sys.exit(side(shared, name))


def side(shared: Path, name: str) -> int:
    """Work in the child, then write what the parent reads; return the exit code."""
    from cachekit import invalidate

    work(name, ROUNDS)
    shared.write_text(name)
    return 0 if invalidate("shared", alias="default") else 1


def work(name: str, rounds: int) -> None:
    """Read and write this side's own keys; an answer meant for the other side is noticed at once."""
    from asgiref.sync import async_to_sync
    from django.core.cache import caches

    from cachekit import ainvalidate, invalidate

    cache: Any = caches["default"]

    for number in range(rounds):
        value = f"{name} {number} " + "x" * (number * 37 % 500)
        assert cache.set(name, value)
        assert async_to_sync(cache.aset)(f"{name}-awaited", value)
        assert (async_to_sync(ainvalidate) if number % 2 else invalidate)(name, alias="default")
        for _ in range(2):
            assert page(name, value.__str__) == value, "another page's answer"
            assert apage(name, value) == value, "another page's answer"
        assert cache.get(name) == value, "another key's answer"
        assert async_to_sync(cache.aget)(f"{name}-awaited") == value, "another key's answer"


def page(name: str, produce: Any) -> Any:
    """Read a page that depends on a tag of its name."""
    from cachekit import engine
    from cachekit.core.capture import depend
    from tests.making import spec_of

    def compute() -> Any:
        depend(name)
        return produce()

    return engine.get_or_set(spec_of("default", f"page-{name}"), compute)


def apage(name: str, value: str) -> Any:
    """Like `page`, awaited, on an event loop of its own."""
    from asgiref.sync import async_to_sync

    from cachekit import engine
    from cachekit.core.capture import depend
    from tests.making import spec_of

    async def compute() -> str:
        depend(name)
        return value

    return async_to_sync(engine.aget_or_set)(spec_of("default", f"apage-{name}"), compute)


if __name__ == "__main__":
    main(*sys.argv[1:])
