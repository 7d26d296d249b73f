"""Connections cut in the middle of a pipeline: nobody reads another's answer, nothing goes unsaid."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import caches

from cachekit import hooks
from tests.faults.conftest import MakeSite
from tests.faults.cutter import Cutter
from tests.faults.site import PROCESSES, WRITER, Site
from tests.making import hearing
from tests.servers import Valkey
from tests.twins import Call

ROWS = ("row", "other", "third")
STEP = 29


@pytest.mark.parametrize("way", ["questions", "answers"])
def test_a_pipeline_cut_at_any_byte(valkey: Valkey, make_site: MakeSite, call: Call, way: str) -> None:
    with Cutter(valkey.port) as cutter, hearing(hooks.StoreDown) as down:
        site = make_site(cutter.url, call, SOCKET_TIMEOUT=5, SOCKET_CONNECT_TIMEOUT=5)
        cache: Any = caches[WRITER]
        for after in range(0, 500, STEP):
            cutter.cut_after(after, way)
            for row in ROWS:
                site.write(row)
                for alias in PROCESSES:
                    site.read(alias, row)
                call(cache.set, row, row)
            assert call(cache.get_many, ROWS) == {row: row for row in ROWS}

        assert cutter.cuts > 5
        assert down == [], "a cut connection is replaced, and the server is there"
        cutter.let_pass()
        site.recovers()


def test_a_connection_cut_while_a_new_one_is_greeted(valkey: Valkey, make_site: MakeSite, call: Call) -> None:
    with Cutter(valkey.port) as cutter:
        site: Site = make_site(cutter.url, call, SOCKET_TIMEOUT=5, SOCKET_CONNECT_TIMEOUT=5)
        for after in range(0, 4000, 397):  # INFO alone takes more than a thousand bytes
            for alias in PROCESSES:
                site.store_of(alias).reset()
            cutter.cut_after(after, "answers")
            site.go_on(1)

        cutter.let_pass()
        site.recovers()
