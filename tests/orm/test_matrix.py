"""Every read shape against every way of writing: after a write nothing is stale, and before it everything is a hit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cachekit import cached
from tests.orm.deeds import DEEDS
from tests.orm.shapes import SHAPES
from tests.orm.world import populate

pytestmark = pytest.mark.django_db(transaction=True)
CACHE = "memory"

KEPT: dict[str, Callable[[], Any]] = {
    name: cached(300, name=f"shape.{name.replace(' ', '_')}")(shape) for name, shape in SHAPES.items()
}


def settled(read: Callable[[], Any]) -> Any:
    """Return what a read returns, or the name of what it raises."""
    try:
        return read()
    except Exception as error:
        return type(error).__name__


def misses(*, of: dict[str, Callable[[], Any]]) -> set[str]:
    """Return the names of the reads that asked the database."""
    found = set()
    for name, read in of.items():
        with CaptureQueriesContext(connection) as queries:
            settled(read)
        if queries.captured_queries:
            found.add(name)
    return found


def test_every_read_is_a_hit_the_second_time() -> None:
    populate()
    plain = {name: settled(shape) for name, shape in SHAPES.items()}

    assert {name: settled(read) for name, read in KEPT.items()} == plain

    assert misses(of=KEPT) == set()
    assert {name: settled(read) for name, read in KEPT.items()} == plain


@pytest.mark.parametrize("deed", DEEDS)
def test_no_read_is_stale_after(deed: str) -> None:
    populate()
    for read in KEPT.values():
        settled(read)

    DEEDS[deed]()

    fresh = {name: settled(shape) for name, shape in SHAPES.items()}
    assert {name: settled(read) for name, read in KEPT.items()} == fresh
