from __future__ import annotations

import collections
import copyreg
import datetime
import decimal
import pickle
from typing import Any

import pytest
from django.utils.safestring import mark_safe
from hypothesis import given, strategies

from cachekit.dashboard import reveal


class Mug:
    """Something with a state."""

    def __init__(self) -> None:
        self.price = 12


class Shelf(list[Any]):
    """A list of another name."""


def text(value: Any, protocol: int = 5) -> str:
    shown = reveal.show_pickle(pickle.dumps(value, protocol))
    assert shown.how == "pickle"
    return " ".join(shown.text.split())


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ({"a": [1, None, "x"]}, ["'a': [ 1, None, 'x', ]"]),
        (Mug(), ["Mug", "'price': 12"]),
        (Shelf([7, 8]), ["Shelf", "7, 8"]),
        (collections.OrderedDict(a=1), ["OrderedDict", "'a'", "1"]),
        ({"when": datetime.date(2026, 11, 22), "price": decimal.Decimal("1.50")}, ["'when'", "'1.50'"]),
        (Mug, ["class", "Mug"]),
    ],
)
def test_a_pickle_is_shown_by_its_structure(value: Any, parts: list[str], protocol: int) -> None:
    shown = text(value, protocol)

    assert all(part in shown for part in parts)


def test_harmless_classes_are_shown_as_themselves() -> None:
    shown = text(
        {"when": datetime.datetime(2026, 11, 22, 8, 30, tzinfo=datetime.UTC), "price": decimal.Decimal("1.50")}
    )

    assert "datetime.datetime(2026, 11, 22, 8, 30, tzinfo=datetime.timezone.utc)" in shown
    assert "Decimal('1.50')" in shown


def test_rendered_text_is_shown_as_it_is() -> None:
    shown = reveal.show_pickle(pickle.dumps(mark_safe("<p>\nhello</p>")))

    assert shown == reveal.Shown("pickle", "<p>\nhello</p>", cut=False)


def test_registered_extensions_are_not_followed() -> None:
    copyreg.add_extension(__name__, "Mug", 240)
    try:
        data = pickle.dumps(Mug(), 2)
        pickle.loads(data)  # now the class is in the registry's own cache, where no unpickler asks
        shown = reveal.show_pickle(data)
    finally:
        copyreg.remove_extension(__name__, "Mug", 240)

    assert b"\x82" in data
    assert shown.how == "hex"


def test_a_memo_larger_than_the_pickle_is_refused() -> None:
    assert reveal.show_pickle(b"Nr\xff\xff\xff\x7f.").how == "hex"


def test_a_small_pickle_of_a_huge_value_is_cut() -> None:
    value: list[Any] = []
    for _ in range(40):
        value = [value, value]

    shown = reveal.show_pickle(pickle.dumps(value))

    assert shown.cut
    assert len(shown.text) <= reveal.SHOWN_BYTES + 1


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(10**100_000, id="long integer"),
        pytest.param("x" * 200_000, id="long text"),
        pytest.param(list(range(50_000)), id="long list"),
    ],
)
def test_what_is_long_is_cut(value: Any) -> None:
    shown = reveal.show_pickle(pickle.dumps(value))

    assert len(shown.text) <= 5 * reveal.SHOWN_BYTES


@given(strategies.binary(max_size=500))
def test_any_bytes_can_be_shown(data: bytes) -> None:
    assert isinstance(reveal.show(data).text, str)
    assert reveal.show_pickle(data).how in {"hex", "pickle"}


@given(strategies.recursive(strategies.none() | strategies.integers() | strategies.text(), strategies.lists))
def test_plain_values_read_back_as_they_are(value: Any) -> None:
    shown = reveal.show_pickle(pickle.dumps(value))

    assert shown.cut or shown.text == value or eval(shown.text) == value


@pytest.mark.parametrize(
    ("data", "how"),
    [
        (b"12", "integer"),
        (b"-7", "integer"),
        (b'{"a": [1]}', "json"),
        ("héllo\n".encode(), "text"),
        (b"\x00\x01", "hex"),
        (b"\xff\xfe", "hex"),
        (b"", "text"),
        (b"[" * 50_000, "text"),
    ],
)
def test_bytes_are_read_as_what_they_look_like(data: bytes, how: str) -> None:
    assert reveal.show(data).how == how


def test_a_page_is_shown_by_its_parts() -> None:
    head = b"200\nOK\nContent-Type\ntext/html\nX-Kind\nshelf"

    shown = reveal.show_page(b"%d\n%b<h1>\xff &</h1>" % (len(head), head))

    assert shown.how == "page"
    assert shown.text == "200 OK\nContent-Type: text/html\nX-Kind: shelf\n\n<h1>\ufffd &</h1>"
    assert reveal.show_page(b"no page").how == "text"
    assert reveal.show_page(b"99\nshort").how == "text"
