"""`@cached`: arguments make keys, results are kept, forgotten and renewed."""

from __future__ import annotations

import datetime
import enum
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Literal, assert_type, cast

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils.functional import SimpleLazyObject

from cachekit import cached, invalidate, uncached
from cachekit.core.missing import Missing
from cachekit.exceptions import InvalidKey, InvalidTag, UncacheableValue
from tests.twins import Call
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book, Parcel


class Colour(enum.Enum):
    RED = 1


class Custom:
    """An argument that makes no key."""


class Counter:
    """Counts calls, and returns the count with what it was called with."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, value: Any) -> tuple[int, Any]:
        self.calls += 1
        return self.calls, value


@pytest.fixture
def count() -> Counter:
    return Counter()


@pytest.fixture
def function(call: Call, count: Counter, alias: str) -> Any:
    """A cached function of some arguments, called or awaited, in memory or on Redis."""
    if call.awaited:

        @cached(300, alias=alias)
        async def awaited(x: Any, y: Any = 1, *rest: Any, flag: bool = False, **more: Any) -> Any:
            return count(x)

        return awaited

    @cached(300, alias=alias)
    def called(x: Any, y: Any = 1, *rest: Any, flag: bool = False, **more: Any) -> Any:
        return count(x)

    return called


def test_one_call_written_differently_is_one_entry(function: Any, call: Call) -> None:
    ways: list[Callable[[], Any]] = [
        lambda: call(function, 5),
        lambda: call(function, x=5),
        lambda: call(function, 5, 1),
        lambda: call(function, y=1, x=5),
        lambda: call(function, 5, flag=False),
    ]

    assert {way() for way in ways} == {(1, 5)}
    assert function.key_for(5) == function.key_for(x=5, y=1)


DIFFERENT = [
    1,
    True,
    1.0,
    "1",
    b"1",
    None,
    (1,),
    [1],
    {1},
    {1: 1},
    "",
    Colour.RED,
    datetime.date(2020, 1, 1),
    datetime.datetime(2020, 1, 1),  # noqa: DTZ001 - naive on purpose
    datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    ("a:b", "c"),
    ("a", "b:c"),
    int,
    AnonymousUser(),
]


def test_different_arguments_are_different_entries() -> None:
    @cached(300)
    def function(*values: Any, **named: Any) -> None: ...

    keys = {function.key_for(value) for value in DIFFERENT} | {
        function.key_for(),
        function.key_for(1, 1),
        function.key_for((1, 1)),
        function.key_for(named=1),
        function.key_for(other=1),
    }

    assert len(keys) == len(DIFFERENT) + 5


def test_functions_of_one_name_differ_by_the_name_that_they_are_given() -> None:
    first, second = cached(name="first")(lambda: 1), cached(name="second")(lambda: 2)

    assert (first(), second()) == (1, 2)
    with pytest.raises(UncacheableValue, match="name="):
        cached(300)(lambda: 3)


@pytest.mark.django_db(transaction=True)
def test_an_instance_counts_by_its_key_and_its_row_is_a_dependency(function: Any, call: Call, alias: str) -> None:
    ada, bob = make_author("Ada"), make_author("Bob")

    assert call(function, ada)[0] == call(function, Author.objects.get(pk=ada.pk))[0] == 1
    assert call(function, SimpleLazyObject(lambda: ada))[0] == 1
    assert call(function, bob)[0] == 2
    Author.objects.filter(pk=bob.pk).update(name="Bert")
    assert call(function, ada)[0] == 1
    assert call(function, y=2, x=bob)[0] == 3
    Author.objects.filter(pk=bob.pk).update(name="Bill")
    assert call(function, x=bob, y=2)[0] == 4


@pytest.mark.django_db
@pytest.mark.parametrize("make", [lambda: Author(name="x"), Custom, object, lambda: iter(()), Author.objects.all])
def test_what_makes_no_key_is_refused_with_a_way_out(make: Callable[[], Any]) -> None:
    @cached(300)
    def function(x: Any) -> None: ...

    argument = make()
    with pytest.raises(InvalidKey, match=r"(Save it first|only from text).* @cached\(key=lambda"):
        function(argument)


def test_a_key_function_that_makes_no_key_is_told_what_to_return() -> None:
    @cached(300, key=lambda x: object())
    def function(x: Any) -> None: ...

    with pytest.raises(InvalidKey, match=r"from a builtins.object, only from text.* Have key= return these"):
        function(1)


def test_key_says_what_matters(count: Counter) -> None:
    @cached(300, key=lambda custom, **_: custom.number)
    def function(custom: Custom, **_: Any) -> Any:
        return count(None)

    one, same, other = Custom(), Custom(), Custom()
    one.number, same.number, other.number = 1, 1, 2  # type: ignore[attr-defined]

    assert function(one) == function(same, noise=3) == (1, None)
    assert function(other) == (2, None)


@pytest.mark.django_db(transaction=True)
def test_methods_are_kept_by_instance(django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    @cached(300)
    def titles(self: Author) -> list[str]:
        return [book.title for book in self.books.all()]

    monkeypatch.setattr(Author, "titles", titles, raising=False)
    ada: Any = make_author()
    bob: Any = make_author()
    make_book("one", author=ada)

    assert [ada.titles(), bob.titles()] == [["one"], []]
    with django_assert_num_queries(0):
        assert [ada.titles(), bob.titles()] == [["one"], []]
    make_book("two", author=bob)
    assert bob.titles() == ["two"]
    with django_assert_num_queries(0):
        assert ada.titles() == ["one"]
    assert Author.titles.invalidate(ada)  # type: ignore[attr-defined]
    with django_assert_num_queries(2):  # the author is read again, since nobody knows how old this one is
        ada.titles()


class Shop:
    """Methods of classes."""

    calls = 0

    @classmethod
    @cached(300)
    def of_class(cls) -> int:
        cls.calls += 1
        return cls.calls

    @staticmethod
    @cached(300)
    def of_none(x: int) -> int:
        Shop.calls += 1
        return Shop.calls


class Bakery(Shop):
    calls = 10


def test_class_methods_are_kept_by_class() -> None:
    shop, bakery = cast("Any", Shop), cast("Any", Bakery)  # mypy takes `cls` for an argument of the caller's

    assert [shop.of_class(), shop.of_class(), bakery.of_class()] == [1, 1, 11]
    assert Shop.of_none(1) == Shop.of_none(x=1)


def test_generators_are_refused() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def anumbers() -> AsyncIterator[int]:
        yield 1

    for generator in (numbers, anumbers):
        with pytest.raises(UncacheableValue, match="Return a list"):
            cached(300)(generator)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeout": -1}, ValueError),
        ({"timeout": "60"}, ValueError),
        ({"tags": "one"}, TypeError),
        ({"tags": ("white space",)}, InvalidTag),
        ({"tags": ("*",)}, InvalidTag),
        ({"name": "white space"}, InvalidTag),
        ({"name": "x" * 300}, InvalidTag),
        ({"unheard": 1}, TypeError),
    ],
)
def test_wrong_options_are_said_where_they_are_written(options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        cached(**options)(lambda: 1)


def test_invalidate_forgets_one_call_and_the_tag_all(function: Any, call: Call) -> None:
    call(function, 1)
    call(function, 2)

    call(function.ainvalidate if call.awaited else function.invalidate, x=1)

    assert [call(function, 1)[0], call(function, 2)[0]] == [3, 2]
    invalidate(function.tag)
    assert [call(function, 1)[0], call(function, 2)[0]] == [4, 5]


def test_what_is_being_computed_while_it_is_invalidated_is_never_served(alias: str) -> None:
    begun, forgotten = threading.Event(), threading.Event()
    values = iter(["old", "new"])

    @cached(300, alias=alias)
    def function() -> str:
        found = next(values)
        if found == "old":
            begun.set()
            assert forgotten.wait(60)
        return found

    slow = threading.Thread(target=function)
    slow.start()
    assert begun.wait(60)
    function.invalidate()
    forgotten.set()
    slow.join()

    assert function() == "new"
    assert function() == "new"


def test_refresh_computes_and_stores(function: Any, call: Call) -> None:
    assert call(function, 1)[0] == 1
    assert call(function.refresh, 1)[0] == 2
    assert call(function, 1)[0] == 2


def test_tags_and_aliases_are_its_own(count: Counter) -> None:
    @cached(300, tags=("prices", "homepage"))
    def tagged() -> Any:
        return count(1)

    @cached(300, alias="memory")
    def elsewhere() -> Any:
        return count(2)

    assert [tagged(), elsewhere(), tagged(), elsewhere()] == [(1, 1), (2, 2), (1, 1), (2, 2)]
    invalidate("homepage")
    assert [tagged(), elsewhere()] == [(3, 1), (2, 2)]
    invalidate(elsewhere.tag, alias="default")
    assert elsewhere() == (2, 2)


def test_exceptions_are_not_kept_and_none_is(call: Call) -> None:
    calls = []

    def compute(fail: bool) -> None:
        calls.append(fail)
        if fail:
            raise ValueError("no")

    function = cached(300, name="fails")(call.producer(compute))

    for fail in (True, True):
        with pytest.raises(ValueError, match="no"):
            call(function, fail)
    assert call(function, False) is None
    assert call(function, False) is None
    assert calls == [True, True, False]


def test_what_cannot_be_stored_is_handed_out(count: Counter) -> None:
    @cached(300)
    def lock() -> Any:
        count(1)
        return threading.Lock()

    assert hasattr(lock(), "acquire")
    assert hasattr(lock(), "acquire")
    assert count.calls == 2


def test_uncached_and_enabled_false_compute(count: Counter, settings: Any) -> None:
    function = cached(300, name="switched_off")(count)
    function(1)

    with uncached():
        assert function(1)[0] == 2
    settings.CACHEKIT = {"ENABLED": False}
    assert function(1)[0] == 3
    settings.CACHEKIT = {}
    assert function(1)[0] == 1


def test_a_timeout_of_zero_keeps_nothing(count: Counter) -> None:
    function = cached(0, name="zero")(count)

    assert [function(1)[0], function(1)[0]] == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_an_inner_entry_takes_its_dependencies_along(django_assert_num_queries: Any) -> None:
    book = make_book("old")

    @cached(300)
    def inner(pk: int) -> str:
        return Book.objects.get(pk=pk).title

    @cached(300)
    def outer(pk: int) -> str:
        return inner(pk).upper()

    inner(book.pk)
    assert outer(book.pk) == "OLD"
    with django_assert_num_queries(0):
        assert outer(book.pk) == "OLD"
    Book.objects.update(title="new")
    assert outer(book.pk) == "NEW"
    inner.invalidate(book.pk)
    with django_assert_num_queries(1):
        outer(book.pk)


@pytest.mark.django_db(transaction=True)
def test_an_instance_with_a_made_up_key_is_fresh_once_it_is_saved(count: Counter) -> None:
    parcel = Parcel(weight=1)

    @cached(300)
    def weight(parcel: Parcel) -> Any:
        return count(parcel.weight)

    assert weight(parcel) == (1, 1)
    parcel.weight = 2
    parcel.save()
    assert weight(parcel) == (2, 2)


def test_it_looks_like_the_function_that_it_keeps() -> None:
    @cached
    def documented(x: int) -> int:
        """Say so."""
        return x

    assert documented.__doc__ == "Say so."
    assert documented.tag.startswith("function:tests.test_functions.")
    assert documented(3) == documented.__wrapped__(3) == 3
    with pytest.raises(TypeError, match="missing a required argument"):
        documented()  # type: ignore[call-arg]


class Basket:
    """What type checkers make of each way."""

    @cached(300, key=lambda self, x: x)
    def total(self, x: int) -> str:
        return str(x)

    @cached(300, key=lambda self: 1)
    async def atotal(self) -> str:
        return "1"

    @property
    @cached(300, key=lambda self: 1)
    def worth(self) -> str:
        return "1"

    @staticmethod
    @cached(300)
    def square(x: int) -> int:
        return x * x


@cached
def typed(x: int, y: str = "") -> float:
    return float(x)


async def test_types_stay_what_they_are() -> None:
    basket = Basket()

    assert_type(typed(1, y="a"), float)
    assert_type(typed.refresh(1), float)
    assert_type(typed.peek(1), float | Literal[Missing.MISSING])
    assert_type(typed.get_many([1, 2]), list[float])
    assert_type(basket.total(1), str)
    assert_type(basket.total.peek(1), str | Literal[Missing.MISSING])
    assert_type(Basket.total(basket, 1), str)
    assert_type(basket.total.invalidate(x=1), bool)
    assert_type(await basket.atotal(), str)
    assert_type(await basket.atotal.peek(), str | Literal[Missing.MISSING])
    assert_type(await basket.atotal.get_many([]), list[str])
    assert_type(basket.worth, str)
    assert_type(Basket.square(2), int)
    for wrong in ("not an int", 1.5):
        with pytest.raises(TypeError):
            typed(wrong, 1, 2)  # type: ignore[call-arg, arg-type]
