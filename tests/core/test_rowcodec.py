"""Rows of the database, as bytes."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import pytest

from cachekit.core.formats import Pickle
from cachekit.core.packing import Packer, Packing, signing_key
from cachekit.core.rowcodec import Packed, RowCodec, frozen

KEYS = (signing_key("secret"),)
PACKER = Packer(Packing(Pickle()), lambda: KEYS)
MADE = datetime.datetime(2026, 1, 21, 20, 11, 0, 5, tzinfo=datetime.UTC)
ROW = (30_011, "diamond", 11, decimal.Decimal("0.110"), None, MADE)
ODD: list[Any] = [
    decimal.Decimal("-1E+5"),
    MADE,
    MADE.replace(tzinfo=None, microsecond=0),
    MADE.replace(microsecond=0),
    MADE.date(),
    MADE.time(),
    datetime.timedelta(-1, 2, 3),
    uuid.UUID(int=7),
    memoryview(b"bytes"),
]


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_each_kind_of_value_comes_back_as_what_it_was(value: Any) -> None:
    codec = RowCodec(PACKER)

    (found,) = codec.loads(codec.dumps((value,)))

    assert found == value
    assert type(found) is type(value)
    assert getattr(found, "tzinfo", None) is getattr(value, "tzinfo", None)


@pytest.mark.parametrize("rows", [(), ((),), (("id", "name"), ROW, ROW), ((1, 2), (None, "x")), tuple(zip(ODD))])
def test_rows_of_whatever_kinds_come_back(rows: tuple[tuple[Any, ...], ...]) -> None:
    codec = RowCodec(PACKER, many=True)

    assert codec.loads(codec.dumps(rows)) == rows


def test_what_could_be_changed_comes_back_packed() -> None:
    codec = RowCodec(PACKER)

    (found,) = codec.loads(codec.dumps(frozen(({"a": [1]},))))

    assert type(found) is Packed
    assert found.open() == {"a": [1]}


def test_a_row_in_the_two_hundredth_column_knows_its_kind() -> None:
    codec = RowCodec(PACKER)
    row = (*range(200), decimal.Decimal(5), *range(2000), MADE)

    assert codec.loads(codec.dumps(row)) == row


def test_a_row_of_six_columns_is_about_eighty_bytes() -> None:
    assert len(RowCodec(PACKER).dumps(ROW)) <= 90
