"""One subject answers: every read before and after every deed, as JSON on its standard output."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import django


def main() -> None:
    """Make the tables, then go through all deeds."""
    warnings.simplefilter("ignore")  # whatever a library warns of is its own affair here
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.conformance.settings"
    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    json.dump(answers(), sys.stdout)


def answers() -> dict[str, Any]:
    """Return, by deed and read, the answer before and after, and whether it took SQL the second time and after."""
    import redis

    from tests.conformance.settings import SUBJECT, URL
    from tests.orm.deeds import DEEDS
    from tests.orm.shapes import SHAPES
    from tests.orm.world import Snapshot, populate

    server = redis.Redis.from_url(URL)
    reads = dict(SHAPES)
    if SUBJECT.functions:
        from cachekit import cached

        reads = {name: cached(name=f"shape.{name.replace(' ', '_')}")(shape) for name, shape in SHAPES.items()}
    populate()
    snapshot = Snapshot()
    found: dict[str, Any] = {}
    for deed, act in DEEDS.items():
        server.flushall()
        _forget()
        for read in reads.values():
            _asked(read)
        before = {name: _asked(read) for name, read in reads.items()}
        trouble = ""
        try:
            act()
        except Exception as error:
            trouble = f"{type(error).__name__}: {error}"[:200]
        after = {name: _asked(read) for name, read in reads.items()}
        found[deed] = {"trouble": trouble, "reads": {name: (*before[name], *after[name]) for name in reads}}
        snapshot.restore()
    return found


def _forget() -> None:
    """Have cachekit's process know nothing of the server that was emptied."""
    from tests.conformance.settings import SUBJECT

    if "cachekit" in SUBJECT.apps:
        from cachekit import testing

        testing.reset()


def _asked(read: Callable[[], Any]) -> tuple[str, bool]:
    """Return an answer as text, or what went wrong, and whether the database was asked."""
    from django.db import connection

    asked = False

    def note(execute: Any, *args: Any) -> Any:
        nonlocal asked
        asked = True
        return execute(*args)

    with connection.execute_wrapper(note):
        try:
            return repr(read()), asked
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:200], asked


if __name__ == "__main__":
    main()
