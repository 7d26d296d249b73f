"""What the simulator found, as small as it gets."""

from __future__ import annotations

from random import Random

from cachekit.core.entry import NEVER, Header
from cachekit.core.flights import Outcome
from tests.consistency import scripts_model
from tests.consistency.redis_model import RedisModel

EPOCH = b"an epoch"
ROOT = b"{sim}:root"


def test_equal_ledger_times_do_not_prove_that_a_computation_began_later() -> None:
    began = Outcome(started=1.0, header=Header(EPOCH, 500, 500, NEVER, 1, b""))

    assert not began.serves(EPOCH, 500, arrived=2.0)
    assert began.serves(EPOCH, 499, arrived=2.0)


def test_intents_outlive_two_new_epochs() -> None:
    time = 1_700_000_000_000_000
    server = RedisModel(lambda: time)
    scripts_model.intend(server, [ROOT, b"{sim}:events"], [EPOCH, b"9", b"10000000", b"tx", b"", b"", b"shop.book"])

    for _ in range(2):
        time -= 3_000_000
        scripts_model.begin(server, [ROOT, b"", b""], [Random(time).randbytes(8), b"", b"0"])

        assert int(server.find(ROOT)[b"*"]) == time + 10_000_000
