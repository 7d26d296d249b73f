"""Values are alike when whoever gets one could have got the other."""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal
from typing import Any

import pytest
from django.http import HttpResponse

from cachekit.comparing import same
from tests.zoo.models import Author, Book


class Bare:
    """Has no `==` of its own."""

    def __init__(self, **held: Any) -> None:
        self.__dict__.update(held)


class Odd:
    """Has one that fails, as those of arrays may."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


@dataclasses.dataclass
class Shelf:
    """Holds rows."""

    books: list[Book]


def page(body: str, status: int = 200, request: str = "") -> HttpResponse:
    return HttpResponse(body, status=status, headers={"X-Request": request})


def circle() -> list[Any]:
    ring: list[Any] = [1]
    ring.append(ring)
    return ring


ALIKE = [
    ({"a": [1, (2.5, None)]}, {"a": [1, (2.5, None)]}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (math.nan, math.nan),
    ({1, 2}, {2, 1}),
    (Bare(a=[1]), Bare(a=[1])),
    (Odd(1), Odd(1)),
    (Author(pk=1, name="Ada"), Author(pk=1, name="Ada")),
    (page("x", request="1"), page("x", request="2")),
    (circle(), circle()),
]
UNLIKE = [
    ([1, 2], [2, 1]),
    ([1], [1, 1]),
    (1, True),
    (Decimal(1), 1),
    ({"a": 1}, {"b": 1}),
    (Bare(a=[1]), Bare(a=[2])),
    (Odd(1), Odd(2)),
    (Author(pk=1, name="Ada"), Author(pk=1, name="Bertha")),
    ([Author(pk=1, name="Ada")], [Author(pk=1, name="Bertha")]),
    (Shelf([Book(pk=1, title="A")]), Shelf([Book(pk=1, title="B")])),
    (Book(pk=1, author=Author(pk=1, name="Ada")), Book(pk=1, author=Author(pk=1, name="Bertha"))),
    (page("x"), page("y")),
    (page("x"), page("x", 404)),
]


@pytest.mark.parametrize("number", range(len(ALIKE)))
def test_these_are_alike(number: int) -> None:
    assert same(*ALIKE[number])


@pytest.mark.parametrize("number", range(len(UNLIKE)))
def test_these_are_not(number: int) -> None:
    assert not same(*UNLIKE[number])


@pytest.mark.django_db
def test_querysets_are_compared_by_their_rows() -> None:
    author = Author.objects.create(name="Ada")
    before, again = Author.objects.all(), Author.objects.all()
    assert len(before) == len(again) == 1
    assert same(before, again)

    author.name = "Bertha"
    author.save()
    after = Author.objects.all()

    assert len(after) == 1
    assert not same(before, after)
