"""Read points of a moment ago are found by when they had been given, near ones closely, far ones roughly."""

from __future__ import annotations

from cachekit.core.samples import MOST, SHARE, SPACING, Samples

EPOCH, OTHER = b"epoch-01", b"epoch-02"


def test_the_last_read_point_given_by_a_moment_is_found() -> None:
    samples = Samples()
    for moment in (1.0, 2.0, 3.0):
        samples.note(moment, EPOCH, int(moment * 10))

    assert [samples.before(moment, EPOCH) for moment in (0.9, 1.0, 2.9, 99)] == [None, 10, 20, 30]


def test_another_epoch_has_none() -> None:
    samples = Samples()
    samples.note(1.0, EPOCH, 10)

    assert samples.before(2.0, OTHER) is None

    samples.note(2.0, OTHER, 20)
    assert samples.before(1.5, OTHER) is None
    assert samples.before(2.5, EPOCH) is None
    assert samples.before(2.5, OTHER) == 20


def test_a_ledger_without_an_epoch_gives_none() -> None:
    samples = Samples()

    samples.note(1.0, b"", 10)

    assert samples.before(2.0, b"") is None


def test_they_are_bounded_and_the_closer_the_nearer() -> None:
    samples, moments = Samples(), [at * 0.05 for at in range(20_000)]
    for moment in moments:
        samples.note(moment, EPOCH, int(moment * 1000))
    now = moments[-1]

    assert len(samples._kept) <= MOST
    for age in (0.5, 5, 60, 600):
        found = samples.before(now - age, EPOCH)
        assert found is not None
        assert 0 <= (now - age) - found / 1000 <= 2 * (0.05 + SPACING + age / SHARE)


def test_nothing_is_left_of_what_is_forgotten() -> None:
    samples = Samples()
    samples.note(1.0, EPOCH, 10)

    samples.forget()

    assert samples.before(2.0, EPOCH) is None
