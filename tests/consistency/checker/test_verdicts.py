"""The checker's own judgement: what counts as stale, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.consistency.checker.logs import FINAL, Read
from tests.consistency.checker.truth import LANDING, Truth, written
from tests.consistency.checker.verdicts import Judge, Standing, Verdicts, Window
from tests.consistency.checker.world import ALL, LABELS, ROW, SHELF, TOTAL

SHELF_OF_7 = 1
EVERYBODY_ON_1 = [(item, 1) for item in (1, 7, 13, 19, 25, 31, 37, 43, 49, 55)]


def write(stamp: int, at: int, touched: dict[int, int], *, process: str = "writer1") -> list[tuple[str, list[Any]]]:
    """Return the lines of a transaction: begun, 10 later sent, 20 later committed, 30 later acknowledged."""
    keys = {str(key): shelf for key, shelf in touched.items()}
    return [(process, ["try", at, stamp, keys]), (process, ["ack", at + 30, stamp, at + 10, at + 20])]


def judged(truth: Truth, *reads: Read, standing: tuple[Standing, ...] = ()) -> Verdicts:
    """Judge some reads, all in one window."""
    return Judge(truth, [Window("fault", 0)], standing).judge(reads)


def row(stamp: int, at: int, flags: int = 0) -> Read:
    """Return a read of item 7."""
    return Read(ROW, flags, 6, at, at + 5, [(7, stamp)])


@pytest.mark.parametrize(
    ("at", "stamp", "kinds"),
    [
        (1015, 1, {}),
        (1025, 1, {"committed": 1}),
        (1030, 1, {"committed": 1}),
        (1031, 1, {"acknowledged": 1}),
        (1031, 50, {}),
        (1005, 50, {}),
        (1031, 49, {"acknowledged": 1}),
        (1015, 49, {"phantom": 1}),
    ],
)
def test_a_read_is_compared_with_what_was_known_before_it_began(at: int, stamp: int, kinds: dict[str, int]) -> None:
    truth = written(write(50, 1000, {7: SHELF_OF_7}), [50], {})

    assert judged(truth, row(stamp, at)).whole.stale == kinds


def test_a_write_that_is_not_in_the_journal_never_happened() -> None:
    truth = written(write(50, 1000, {7: SHELF_OF_7}), [], {})

    assert judged(truth, row(1, 2000)).whole.stale == {}
    assert judged(truth, row(50, 2000)).whole.stale == {"phantom": 1}


def test_a_killed_writer_has_committed_a_second_after_its_death_if_the_journal_says_so() -> None:
    tried, _ = write(50, 1000, {7: SHELF_OF_7})
    truth = written([tried], [50], {"writer1": 5000})

    assert judged(truth, row(1, 5000 + LANDING)).whole.stale == {}
    assert judged(truth, row(1, 5001 + LANDING)).whole.stale == {"committed": 1}


def test_an_older_acknowledgement_that_comes_late_takes_nothing_back() -> None:
    lines = [*write(51, 1000, {7: SHELF_OF_7}), *write(50, 1010, {7: SHELF_OF_7}, process="writer2")]
    truth = written(lines, [50, 51], {})

    assert judged(truth, row(50, 1100)).whole.stale == {"acknowledged": 1}


def test_an_item_that_came_onto_a_shelf_must_be_shown_there() -> None:
    truth = written(write(50, 1000, {8: SHELF_OF_7}), [50], {})
    without, with_it = list(EVERYBODY_ON_1), [*EVERYBODY_ON_1, (8, 50)]

    assert judged(truth, Read(SHELF, 0, 1, 1025, 1026, without)).whole.stale == {}
    assert judged(truth, Read(SHELF, 0, 1, 1031, 1032, without)).whole.stale == {"acknowledged": 1}
    assert judged(truth, Read(SHELF, 0, 1, 1031, 1032, with_it)).whole.stale == {}


def test_an_item_that_may_have_left_its_shelf_by_the_end_of_a_read_may_be_missing() -> None:
    truth = written(write(50, 1000, {7: 2}), [50], {})
    without = [pair for pair in EVERYBODY_ON_1 if pair[0] != 7]

    assert judged(truth, Read(SHELF, 0, 1, 990, 1040, without)).whole.stale == {}
    assert judged(truth, Read(SHELF, 0, 1, 990, 995, without)).whole.stale == {"acknowledged": 1}


def test_the_table_and_labels_have_stamps_of_their_own() -> None:
    truth = written(write(50, 1000, {LABELS + 7: SHELF_OF_7}), [50], {})

    assert judged(truth, Read(TOTAL, 0, 0, 2000, 2001, [(ALL, 1)]), row(1, 2000)).whole.stale == {}
    assert judged(truth, Read(ROW, 0, 6, 2000, 2001, [(LABELS + 7, 1)])).whole.stale == {"acknowledged": 1}


def test_what_stood_in_the_outbox_is_counted_for_itself() -> None:
    truth = written(write(50, 1000, {7: SHELF_OF_7}), [50], {})

    verdicts = judged(truth, row(1, 1500), row(1, 2500), standing=(Standing(1005, 2000),))

    assert verdicts.whole.stale == {"untold": 1, "acknowledged": 1}
    assert verdicts.whole.longest["acknowledged"] == 2500 - 1030


def test_what_is_stale_in_the_end_stays_so() -> None:
    truth = written(write(50, 1000, {7: SHELF_OF_7}), [50], {})

    assert judged(truth, row(1, 9000, FINAL)).lasting == {"row 6": "key 7 shows 1"}
    assert judged(truth, row(50, 9000, FINAL)).lasting == {}


def test_a_stale_read_belongs_to_the_fault_during_which_the_write_was_made() -> None:
    truth = written(write(50, 1000, {7: SHELF_OF_7}), [50], {})
    windows = [Window("first", 0), Window("second", 2000)]

    verdicts = Judge(truth, windows).judge([row(1, 3000)])

    assert verdicts.faults["first"].stale == {"acknowledged": 1}
    assert verdicts.faults["second"].reads == 1
    assert verdicts.faults["second"].stale == {}
