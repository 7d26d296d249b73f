"""What a mirror makes of the events it hears, and of what the root says."""

from __future__ import annotations

import math

from cachekit.core.dependencies import encode
from cachekit.core.mirror import MAX_LAG, MOST_DOUBTS, Beat, Event, Mirror, name_of, names_of

EPOCH = b"an epoch"
BOOK = name_of("zoo.book")
NAMES = (BOOK, b"w*")


def event(seq: int, *points: tuple[bytes, int], epoch: bytes = EPOCH) -> Event:
    moved = b"".join(len(name).to_bytes(2, "big") + name + b"%016d" % point for name, point in points)
    return Event(seq, epoch, moved)


def following() -> Mirror:
    mirror = Mirror()
    mirror.start(Beat(EPOCH, 7, 1000))
    assert mirror.prove(Beat(EPOCH, 7, 1000), 5.0)
    return mirror


def test_names_are_those_of_the_ledgers_fields() -> None:
    blob = encode(["zoo.book#1", "homepage", "zoo.author"])

    assert {name_of("zoo.book#1"), name_of("homepage"), name_of("zoo.author")} <= set(names_of(blob))
    assert {b"w*", b"wdb:default", b"wzoo.book#*"} <= set(names_of(blob))


def test_nothing_is_shown_before_it_follows() -> None:
    assert not Mirror().shows(NAMES, b"", 10**16, 10**16)
    assert Mirror().until == 0


def test_what_was_checked_since_it_began_is_shown_until_a_point_moves() -> None:
    mirror = following()
    assert mirror.shows(NAMES, EPOCH, 1000, 0)
    assert not mirror.shows(NAMES, EPOCH, 999, 0), "nobody knows what moved before"
    version = mirror.version

    assert mirror.apply([event(8, (BOOK, 1500))])

    assert mirror.version != version
    assert not mirror.shows(NAMES, EPOCH, 1499, 0)
    assert mirror.shows(NAMES, EPOCH, 1500, 0)


def test_events_count_in_their_order_whatever_their_points() -> None:
    mirror = following()
    assert mirror.apply([event(8, (BOOK, 9_000_000))])  # an intent
    assert not mirror.shows(NAMES, EPOCH, 2000, 0)

    assert mirror.apply([event(9, (BOOK, 1600))])  # settled
    assert mirror.shows(NAMES, EPOCH, 2000, 0)
    assert mirror.apply([event(8, (BOOK, 9_000_000))])  # heard again
    assert mirror.shows(NAMES, EPOCH, 2000, 0)


def test_a_gap_another_epoch_and_too_much_at_once_are_noticed() -> None:
    assert not following().apply([event(9, (BOOK, 1500))])
    assert not following().apply([event(8, (BOOK, 1500), epoch=b"another")])
    assert not following().apply([Event(8, EPOCH, b"*")])


def test_a_proof_holds_for_a_while_after_the_question() -> None:
    mirror = following()
    assert mirror.until == 5.0 + MAX_LAG

    assert not mirror.prove(Beat(EPOCH, 8, 1200), 6.0), "something is missing"
    assert not mirror.prove(Beat(b"another", 7, 1200), 6.0)
    assert mirror.until == 5.0 + MAX_LAG
    assert mirror.prove(Beat(EPOCH, 7, 1200), 6.0)
    assert (mirror.until, mirror.upto) == (6.0 + MAX_LAG, 1200)


def test_nothing_is_proven_while_something_is_owed() -> None:
    mirror = following()

    mirror.hold(on=True)
    assert mirror.prove(Beat(EPOCH, 7, 1200), 6.0)
    assert mirror.until == 0.0

    mirror.hold(on=False)
    assert mirror.prove(Beat(EPOCH, 7, 1200), 7.0)
    assert mirror.until == 7.0 + MAX_LAG


def test_own_writes_are_unknown_until_a_later_question_is_answered() -> None:
    mirror = following()
    mirror.doubt(["zoo.book"], 6.5)
    assert not mirror.shows(NAMES, EPOCH, 1100, 0)

    assert mirror.prove(Beat(EPOCH, 7, 1200), 6.4)  # asked before it was written
    assert not mirror.shows(NAMES, EPOCH, 1100, 0)
    assert mirror.prove(Beat(EPOCH, 7, 1200), 6.5)
    assert mirror.shows(NAMES, EPOCH, 1100, 0)


def test_own_writes_do_not_pile_up_where_nobody_follows() -> None:
    mirror = following()
    for number in range(3):
        mirror.doubt([f"zoo.book#{number}-{one}" for one in range(MOST_DOUBTS)], 6.5 + number)

    assert len(mirror._doubts) == MOST_DOUBTS
    assert not mirror.shows(NAMES, EPOCH, 1100, 0)  # any may have been written
    assert mirror.prove(Beat(EPOCH, 7, 1200), 8.0)
    assert not mirror.shows(NAMES, EPOCH, 1100, 0)
    assert mirror.prove(Beat(EPOCH, 7, 1200), 8.5)
    assert mirror.shows(NAMES, EPOCH, 1100, 0)
    assert not mirror._doubts


def test_what_no_relay_attests_is_shown_while_it_is_young() -> None:
    mirror = following()
    version = mirror.version

    assert mirror.prove(Beat(EPOCH, 7, 1200, since=1100), 6.0)

    assert mirror.version != version
    assert mirror.shows(NAMES, EPOCH, 1200, 1100)
    assert not mirror.shows(NAMES, EPOCH, 1200, 1099)


def test_a_new_beginning_forgets_what_it_knew() -> None:
    mirror = following()
    mirror.apply([event(8, (BOOK, 1500))])

    mirror.start(Beat(b"another", 0, 3000))

    assert mirror.until == 0.0
    assert mirror.horizon == 3000
    assert not mirror.points
    assert not mirror.shows(NAMES, EPOCH, 4000, 0)
    assert mirror.shows(NAMES, b"another", 3000, 0)
    assert math.isfinite(mirror.horizon)
