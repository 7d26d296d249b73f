"""Keys from arguments: the same for the same, and for nothing else."""

from __future__ import annotations

import datetime
import decimal
import enum
import re
import uuid
from collections import OrderedDict
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict
from django.utils.safestring import mark_safe

from cachekit.core.keys import checked, fingerprint
from cachekit.exceptions import InvalidKey
from tests.zoo.models import Author, Book


class Colour(enum.Enum):
    RED = "red"


PARIS, TOKYO = ZoneInfo("Europe/Paris"), ZoneInfo("Asia/Tokyo")
HOUR = datetime.timedelta(hours=1)

DIFFERENT: list[tuple[Any, ...]] = [
    (),
    (None,),
    ("None",),
    (1,),
    (1.0,),
    (True,),
    ("1",),
    (b"1",),
    (0,),
    (-0.0,),
    (0.0,),
    ("a", "b"),
    ("ab",),
    ("a:b", "c"),
    ("a", "b:c"),
    (("a", "b"),),
    (["a", "b"],),
    ({"a": "b"},),
    ({"a", "b"},),
    ([["a"], "b"],),
    ([["a", "b"]],),
    ("<b>",),
    (mark_safe("<b>"),),
    (Colour.RED,),
    ("red",),
    (Colour,),
    (decimal.Decimal("1.0"),),
    (uuid.UUID(int=1),),
    (datetime.date(2026, 1, 1),),
    (datetime.datetime(2026, 1, 1),),  # noqa: DTZ001
    (datetime.datetime(2026, 1, 1, tzinfo=PARIS),),
    (datetime.datetime(2026, 1, 1, tzinfo=TOKYO),),
    (datetime.time(12),),
    (datetime.time(12, tzinfo=PARIS),),
    (datetime.time(12, tzinfo=TOKYO),),
    (datetime.time(12, fold=1),),
    (datetime.timezone(HOUR, "X"),),
    (datetime.timezone(2 * HOUR, "X"),),
    (HOUR,),
    (PARIS,),
    (QueryDict("a=1"),),
    (QueryDict("a=1&a=2"),),
    (QueryDict("a=2"),),
    (Author(pk=1),),
    (Author(pk=2),),
    (Book(pk=1),),
    ("\ud800",),
    ("a\x00b",),
    ("a\nb",),
]


def test_different_arguments_never_share_a_key() -> None:
    prints = [fingerprint(*one) for one in DIFFERENT]

    assert len(set(prints)) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1}, OrderedDict(a=1)),
        ({3, 1, 2}, {2, 3, 1}),
        (Author(pk=1, name="Ada"), Author(pk=1, name="renamed")),
        (QueryDict("a=1&b=2"), QueryDict("b=2&a=1")),
    ],
)
def test_the_same_thing_makes_the_same_key(one: Any, other: Any) -> None:
    assert fingerprint(one) == fingerprint(other)


def test_ten_megabytes_make_a_short_key() -> None:
    assert re.fullmatch(r"[\w-]{22}", fingerprint("x" * 10_000_000))


@pytest.mark.parametrize(
    ("value", "hint"), [(object(), "object"), (lambda: 1, "function, only from text, numbers"), (Author(), "unsaved")]
)
def test_what_makes_no_key_says_what_to_do(value: Any, hint: str) -> None:
    with pytest.raises(InvalidKey, match=hint):
        fingerprint(value)


def test_a_key_by_hand_is_text_of_bounded_length() -> None:
    assert checked("k" * 512, lambda: "f") == "k" * 512
    with pytest.raises(InvalidKey, match="513 characters"):
        checked("k" * 513, lambda: "f")
    with pytest.raises(InvalidKey, match="not int"):
        checked(1, lambda: "f")  # type: ignore[arg-type]
