"""Connections cut in the middle of a pipeline: nobody reads another's answer, nothing goes unsaid."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import caches

from cachekit import engine, hooks
from cachekit.core.capture import depend
from tests.faults.conftest import MakeSite
from tests.faults.cutter import Cutter
from tests.faults.site import PROCESSES, WRITER, Site
from tests.making import hearing, spec_of
from tests.servers import Valkey
from tests.twins import Call

ROWS = ("row", "other", "third")
STEP = 29


@pytest.mark.parametrize("way", ["questions", "answers"])
def test_a_pipeline_cut_at_any_byte(valkey: Valkey, make_site: MakeSite, way: str) -> None:
    with Cutter(valkey.port) as cutter, hearing(hooks.StoreDown) as down:
        site = make_site(cutter.url, Call(awaited=False))
        cache: Any = caches[WRITER]
        site.warm()
        for after in range(0, 500, STEP):
            cutter.cut_after(after, way)
            for row in ROWS:
                assert site.write(row)
                for alias in PROCESSES:
                    site.read(alias, row)
                assert cache.set(row, row)
            assert cache.get_many(ROWS) == {row: row for row in ROWS}

    assert cutter.cuts > 5
    assert down == [], "a cut connection is replaced, and the server is there"


@pytest.mark.parametrize("way", ["questions", "answers"])
async def test_an_awaited_pipeline_cut_at_any_byte(valkey: Valkey, make_site: MakeSite, way: str) -> None:
    with Cutter(valkey.port) as cutter, hearing(hooks.StoreDown) as down:
        make_site(cutter.url, Call(awaited=True))
        cache: Any = caches[WRITER]
        versions = dict.fromkeys(ROWS, 0)
        assert await engine.ainvalidate(*ROWS, alias=WRITER)
        for after in range(0, 500, STEP):
            cutter.cut_after(after, way)
            for row in ROWS:
                versions[row] += 1
                assert await engine.ainvalidate(row, alias=WRITER)
                assert await read(row, versions[row]) == (row, versions[row])
                assert await read(row, -1) == (row, versions[row]), "computed once"
                assert await cache.aset(row, row)
            assert await cache.aget_many(ROWS) == {row: row for row in ROWS}

    assert cutter.cuts > 5
    assert down == [], "a cut connection is replaced, and the server is there"


async def read(row: str, version: int) -> Any:
    """Read the page of a row; one that is computed shows this version."""

    async def compute() -> tuple[str, int]:
        depend(row)
        return row, version

    return await engine.aget_or_set(spec_of(WRITER, f"page-{row}"), compute)


def test_a_connection_cut_while_a_new_one_is_greeted(valkey: Valkey, make_site: MakeSite, call: Call) -> None:
    with Cutter(valkey.port) as cutter:
        site: Site = make_site(cutter.url, call)
        for after in range(0, 4000, 397):  # INFO alone takes more than a thousand bytes
            for alias in PROCESSES:
                site.store_of(alias).reset()
            cutter.cut_after(after, "answers")
            site.go_on(1)

        cutter.let_pass()
        site.recovers()
