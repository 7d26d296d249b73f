"""What a computation collects."""

from __future__ import annotations

import pytest

from cachekit.core import dependencies
from cachekit.core.capture import Capture, capturing, current, depend
from cachekit.core.entry import NEVER, Header
from cachekit.exceptions import InvalidTag

EPOCH = b"epoch-01"
INNER = Header(EPOCH, read_point=80, oldest=70, expiry=500, cost=1, tags=dependencies.encode(["a.b#1"]))


def test_an_inner_entry_hands_on_tags_point_age_and_expiry() -> None:
    capture = Capture(EPOCH, 100, ["homepage"])

    capture.take_in(INNER, 90)

    assert (capture.read_point, capture.oldest, capture.expiry) == (90, 70, 500)
    assert capture.tags == dependencies.encode(["homepage", "a.b#1"])
    assert not capture.obstacle


def test_a_redated_inner_entry_does_not_make_the_outer_one_older() -> None:
    capture = Capture(EPOCH, 100)

    capture.take_in(INNER, 120)

    assert (capture.read_point, capture.oldest) == (100, 70)


def test_an_inner_entry_of_another_epoch_spoils() -> None:
    capture = Capture(EPOCH, 100)

    capture.take_in(INNER._replace(epoch=b"epoch-02"), 100)

    assert "another epoch" in capture.taint


def test_the_first_reason_is_told_and_a_taint_before_a_refusal() -> None:
    capture = Capture(EPOCH, 100)

    capture.refuse("large")
    capture.refuse("larger")
    assert capture.obstacle == "large"
    capture.spoil("raw")

    assert capture.obstacle == "raw"


def test_an_empty_capture_never_expires_by_itself() -> None:
    assert Capture(EPOCH, 1).expiry == NEVER


def test_reads_inside_a_hole_are_not_collected() -> None:
    capture = Capture(EPOCH, 100)

    with capturing(capture):
        depend("seen")
        with capturing(None):
            depend("unseen")
            assert current.get() is None

    assert capture.tags == dependencies.encode(["seen"])
    assert current.get() is None


@pytest.mark.parametrize("text", ["two words", "*", "db:default"])
def test_unfit_dependencies_are_refused_where_they_are_named(text: str) -> None:
    with pytest.raises(InvalidTag):
        depend(text)
