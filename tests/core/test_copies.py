"""Copies: equal to the original, independent of it, and of the same shape."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import pickle
import threading
import uuid
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from cachekit.core.copiers import shared
from cachekit.core.copies import MAX_DEPTH, copier_for, is_immutable

NOON = datetime.datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("Europe/Brussels"))


class Text(str):
    """Text that may hold something else."""

    __slots__ = ("more",)


class Zone(datetime.tzinfo):
    """A time zone of somebody's own."""

    def utcoffset(self, moment: Any) -> datetime.timedelta:
        return datetime.timedelta(0)

    dst = tzname = utcoffset  # type: ignore[assignment]


class Colour(enum.Enum):
    RED = "red"


def nested(kind: type, depth: int, inner: Any = 1) -> Any:
    value = inner
    for _ in range(depth):
        value = kind([value])
    return value


def changeable(value: Any) -> Iterator[Any]:
    """Yield every part of a value that can change, in order."""
    if isinstance(value, (list, dict, set)):
        yield value
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from changeable(one)
    if isinstance(value, dict):
        for one in value.values():
            yield from changeable(one)


def outline(value: Any) -> list[int]:
    """Say which of the changeable parts are one object."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(id(one), len(numbers)) for one in changeable(value)]


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.decimals(allow_nan=False),
)
plain: st.SearchStrategy[Any] = st.recursive(
    scalars | st.sets(st.integers()) | st.just([]).map(list),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "value",
    [
        *("é", b"x", 1, 2**80, 1.5, 1j, True, None, decimal.Decimal("1.0"), uuid.UUID(int=1), NOON, NOON.date()),
        *(NOON.timetz(), datetime.time(1), datetime.timedelta(1), datetime.UTC, (), (1, ("a", NOON)), frozenset({1})),
        *(frozenset({("a", NOON)}), nested(tuple, MAX_DEPTH)),
    ],
)
def test_what_cannot_change_is_handed_out_as_it_is(value: Any) -> None:
    assert is_immutable(value)
    assert copier_for(value) is shared


@pytest.mark.parametrize(
    "value",
    [
        *([], {}, set(), bytearray(), object(), Text("x"), ([],), (1, {}), NOON.replace(tzinfo=Zone()), Colour),
        *(collections.OrderedDict(), frozenset({Text("x")}), datetime.time(1, tzinfo=Zone()), nested(tuple, 100)),
    ],
)
def test_what_may_change_is_not(value: Any) -> None:
    assert not is_immutable(value)
    assert copier_for(value) is not shared


@given(plain, st.data())
def test_a_copy_is_equal_independent_and_of_the_same_shape(value: Any, data: st.DataObject) -> None:
    parts = [value, *changeable(value)]
    value = [value, *data.draw(st.lists(st.sampled_from(parts), max_size=3))]  # some of it is held twice

    copier = copier_for(value)

    assert copier is not None
    copy = copier(value)
    assert copy == value
    assert pickle.dumps(copier(copy)) == pickle.dumps(copier(copy))
    assert outline(copy) == outline(value) == outline(pickle.loads(pickle.dumps(value)))
    assert {id(one) for one in changeable(copy)}.isdisjoint(id(one) for one in changeable(value))


def test_items_keep_their_order_and_their_types() -> None:
    value = {"b": [1, (2, [3])], "a": {"x": {4}}, (1, NOON): None}
    copier = copier_for(value)

    assert copier is not None
    assert repr(copier(value)) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        *(bytearray(b"x"), [object()], {"a": collections.OrderedDict()}, [collections.Counter()], {Text("k"): 1}),
        *({frozenset({Text("k")}): []}, {Text("x")}, [Text("x"), 1], ([Zone()],), nested(list, 100)),
    ],
)
def test_what_is_not_plain_is_decoded_each_time(value: Any) -> None:
    assert copier_for(value) is None


def test_what_holds_itself_is_decoded_each_time() -> None:
    circle: list[Any] = []
    circle.append({"around": (circle,)})

    assert copier_for(circle) is None


def test_threads_that_copy_at_once_share_nothing() -> None:
    twice = {"a": [1]}
    value = [[twice, twice] for _ in range(500)]
    copier = copier_for(value)
    copies: list[Any] = []
    threads = [threading.Thread(target=lambda: copies.append(copier(value))) for _ in range(4)]  # type: ignore[misc]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [outline(copy) == outline(value) for copy in copies] == [True] * 4
    assert len({id(copy[0][0]) for copy in copies}) == 4


def test_a_row_that_is_held_elsewhere_too_stays_one_object() -> None:
    rows = [{"id": number} for number in range(3)]
    for value in ([rows, rows[1]], [rows[1], rows], {"all": rows, "best": rows[:2]}, [*rows, rows[0]], [[rows], rows]):
        copier: Any = copier_for(value)

        assert outline(copier(value)) == outline(value)
        assert copier(value) == value


def test_ten_thousand_rows_need_one_copier() -> None:
    value = [{"id": number, "tags": ["a"]} for number in range(10_000)]
    copier: Any = copier_for(value)

    assert copier(value) == value
    assert copier == copier_for([{"id": 1, "tags": []}])
