"""Cached methods, properties and classes' functions; peeking; many calls at once."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

import pytest
from django.db import transaction

from cachekit import MISSING, cached, hooks, invalidate, uncached
from cachekit.engine import refreshing
from cachekit.exceptions import InvalidKey, UncacheableValue
from cachekit.stores.wire import Wire
from tests.twins import Call
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book, Parcel

transactional = pytest.mark.django_db(transaction=True)


class Shop:
    """Each way to keep what belongs to a class."""

    calls = 0
    named: str

    def __init__(self, named: str = "") -> None:
        self.named = named

    @cached(300)
    @classmethod
    def above(cls) -> int:
        cls.calls += 1
        return cls.calls

    @classmethod
    @cached(300)
    def below(cls) -> int:
        cls.calls += 1
        return cls.calls

    @cached(300)
    @staticmethod
    def plain(x: int) -> int:
        Shop.calls += 1
        return Shop.calls

    @cached(300, key=lambda self, x: (self.named, x))
    def counted(self, x: int) -> int:
        Shop.calls += 1
        return Shop.calls

    @cached(300)
    def unkeyed(self) -> int:
        return 1

    @property
    @cached(300, key=lambda self: self.named)
    def worth(self) -> int:
        Shop.calls += 1
        return Shop.calls


class Bakery(Shop):
    calls = 100


@cached(300)
def titles(self: Author, start: str = "") -> list[str]:
    return sorted(book.title for book in self.books.all() if book.title.startswith(start))


@cached(300)
async def atitles(self: Author) -> list[str]:
    return sorted([book.title async for book in self.books.all()])


@property  # type: ignore[misc]  # it will be one of a class
@cached(300)
def upper(self: Author) -> str:
    return self.name.upper()


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Authors with methods that are kept."""
    for name, one in {"titles": titles, "atitles": atitles, "upper": upper}.items():
        monkeypatch.setattr(Author, name, one, raising=False)
    return Author


class Adder:
    """An object that is called."""

    def __call__(self, x: int) -> int:
        return x + 1


@cached(300)
def module_level(x: int) -> int:
    return x


@pytest.fixture(autouse=True)
def _fresh_calls() -> None:
    Shop.calls, Bakery.calls = 0, 100


def test_functions_of_classes_are_kept_by_class_in_either_order() -> None:
    shop, bakery = cast("Any", Shop), cast("Any", Bakery)  # mypy takes `cls` for an argument of the caller's

    assert [shop.above(), shop.above(), shop().above(), bakery.above()] == [1, 1, 1, 101]
    assert [shop.below(), shop.below(), bakery.below()] == [2, 2, 102]
    assert shop.above.invalidate()
    assert [shop.above(), bakery.above()] == [3, 101]
    assert shop.below.invalidate(Shop)
    assert [shop.below(), bakery.below()] == [4, 102]


def test_static_functions_are_bound_to_nothing() -> None:
    shop = cast("Any", Shop)

    assert [Shop.plain(1), shop().plain(x=1), Shop.plain(2)] == [1, 1, 2]
    assert shop().plain.peek(1) == 1


def test_what_is_asked_of_a_method_is_asked_for_its_instance() -> None:
    one, same, other = Shop("one"), Shop("one"), Shop("other")

    assert [one.counted(1), same.counted(1), other.counted(1)] == [1, 1, 2]
    assert one.counted.peek(1) == 1
    assert one.counted.peek(5) is MISSING
    assert one.counted.refresh(1) == 3
    assert one.counted.invalidate(1)
    assert [same.counted.peek(1), other.counted.peek(1)] == [MISSING, 2]
    assert one.counted.get_many([1, (2,), 1]) == [4, 5, 4]
    assert one.counted.key_for(1) == Shop.counted.key_for(same, 1) == same.counted.key_for(x=1)
    assert one.counted == one.counted != other.counted
    assert len({one.counted, one.counted, other.counted}) == 2
    assert pickle.loads(pickle.dumps(one.counted)).key_for(1) == one.counted.key_for(1)
    assert str(inspect.signature(one.counted)) == "(x: 'int') -> 'int'"


def test_an_instance_that_makes_no_key_is_told_how_to() -> None:
    with pytest.raises(InvalidKey, match=r"tests.test_calls.Shop.*key=lambda self"):
        Shop().unkeyed()


def test_properties_are_kept_below_and_refused_above() -> None:
    one = Shop("one")

    assert [one.worth, one.worth, Shop("other").worth] == [1, 1, 2]
    fget = cast("Any", Shop).worth.fget
    assert fget.invalidate(one)
    assert one.worth == 3
    with pytest.raises(TypeError, match="below @property"):
        cached(cast("Any", property(lambda self: 1)))
    with pytest.raises(TypeError, match="@property above @cached"):
        cached(300)(cast("Any", cached_property(lambda self: 1)))


def test_a_cached_function_passes_for_one() -> None:
    @cached(300, name="later")
    async def later() -> int:
        return 1

    assert inspect.iscoroutinefunction(later)
    assert asyncio.iscoroutinefunction(later)
    assert not inspect.iscoroutinefunction(module_level)
    assert pickle.loads(pickle.dumps(module_level)) is module_level
    assert repr(module_level) == "<cached module_level>"
    assert cached(300, name="by_name")(lambda function: 1)(module_level) == 1
    assert list(inspect.signature(module_level).parameters) == ["x"]
    assert repr(cached(300, name="object")(cast("Any", Shop.plain))) == "<cached Shop.plain>"
    assert repr(cached(300, name="object")(Adder())) == "<cached object>"


# Instances


@transactional
def test_a_method_of_a_model_is_kept_by_row(person: Any, django_assert_num_queries: Any) -> None:
    ada, bob = (person.objects.get(pk=make_author(name).pk) for name in ("Ada", "Bob"))
    make_book("one", author=ada)

    assert [ada.titles(), bob.titles(), ada.titles("x"), ada.upper] == [["one"], [], [], "ADA"]
    with django_assert_num_queries(0):
        assert [ada.titles(), bob.titles(start=""), ada.upper] == [["one"], [], "ADA"]
    make_book("only", author=bob)
    assert [ada.titles.peek(), bob.titles.peek()] == [["one"], MISSING]
    assert person.titles.get_many([ada, bob]) == [["one"], ["only"]]


@transactional
def test_what_an_instance_held_before_is_never_stored(person: Any) -> None:
    author = make_author("old")
    kept = Author.objects.prefetch_related("books").get(pk=author.pk)
    Author.objects.filter(pk=author.pk).update(name="new")
    make_book("one", author=author)

    @cached(300, name="summed_up")
    def summed_up(given: Any) -> tuple[str, int]:
        (one,) = given["authors"] if isinstance(given, dict) else (given,)
        return one.name, len(one.books.all())

    ways: list[Any] = [kept, {"authors": [kept]}]
    assert [summed_up(way) for way in ways] == [("new", 1)] * 2
    assert [summed_up.peek(way) for way in ways] == [("new", 1)] * 2
    Author.objects.filter(pk=author.pk).update(name="newer")
    assert [summed_up.peek(way) for way in ways] == [MISSING] * 2
    with uncached():
        assert summed_up(kept) == ("old", 0)

    parcel = Parcel(weight=1)
    weight = cached(300, name="weight")(lambda parcel: int(parcel.weight))
    assert weight(parcel) == 1
    assert weight.peek(parcel) is MISSING  # it has no row, so nobody can say how old it is
    parcel.save()
    parcel.weight = 2
    assert weight(parcel) == 1
    with pytest.raises(InvalidKey, match="Save it first"):
        _ = person(name="x").upper


@pytest.mark.django_db(transaction=True)
async def test_awaited_methods_ask_for_their_instance_too(person: Any) -> None:
    ada = await person.objects.prefetch_related("books").aget(pk=(await person.objects.acreate(name="Ada")).pk)
    await Book.objects.acreate(title="one", author=ada)

    assert [one async for one in ada.books.all()] == []
    assert await ada.atitles() == ["one"]
    assert await ada.atitles.peek() == ["one"]
    assert await person.atitles.get_many([ada, ada]) == [["one"], ["one"]]
    await ada.atitles.ainvalidate()
    assert await ada.atitles.peek() is MISSING
    assert await ada.atitles.refresh() == ["one"]
    assert inspect.iscoroutinefunction(ada.atitles)


# Peeking


def test_peeking_computes_nothing(call: Call, alias: str) -> None:
    calls: list[Any] = []

    def compute(x: Any) -> None:
        calls.append(x)

    function = cached(300, name="peeked", tags=("shelf",), alias=alias)(call.producer(compute))

    assert call(function.peek, 1) is MISSING
    assert not calls
    call(function, 1)
    assert call(function.peek, 1) is None
    invalidate("shelf")
    assert call(function.peek, 1) is MISSING
    with uncached():
        assert call(function.peek, 1) is MISSING
    assert calls == [1]


def test_what_came_of_peeking_at_nothing_is_not_kept() -> None:
    inner = cached(300, name="inner")(lambda: "inner")
    outer = cached(300, name="outer")(lambda: inner.peek() or "nothing")

    assert outer() == "nothing"
    inner()
    assert [outer(), outer.peek()] == ["inner", "inner"]
    inner.invalidate()
    assert outer.peek() is MISSING


# Many calls


class Squares:
    """A function and its batch function, and what they were asked for."""

    def __init__(self, call: Call, **options: Any) -> None:
        self.asked: list[Any] = []
        self.function: Any = cached(300, name="squares", **options)(call.producer(self.one))

    def one(self, x: Any, y: int = 0) -> Any:
        self.asked.append(x)
        return None if x == 0 else x * x + y

    def many(self, items: list[Any], y: int = 0) -> Any:
        self.asked.append(list(items))
        return [None if x == 0 else x * x + y for x in items]


@pytest.mark.parametrize("near", [False, True])
def test_the_missing_ones_are_computed_at_once(call: Call, alias: str, *, near: bool) -> None:
    squares = Squares(call, alias=alias, near=near)
    squares.function.batch(call.producer(squares.many))
    get_many = squares.function.get_many

    assert call(get_many, [3, (0,), 3, 2]) == [9, None, 9, 4]
    assert call(get_many, [2, 0, 3, 5]) == [4, None, 9, 25]
    assert call(squares.function, 5) == 25
    assert call(get_many, []) == []
    assert call(get_many, [3, 1], y=1) == [10, 2]
    assert squares.asked == [[3, 0, 2], [5], [3, 1]]
    with refreshing():
        assert call(get_many, [3]) == [9]
    assert squares.asked[3:] == [[3]]


def test_without_a_batch_function_they_are_computed_one_by_one(call: Call, alias: str) -> None:
    squares = Squares(call, alias=alias)
    seen: list[str] = []
    hooks.subscribe(hooks.Lookup, note := lambda event: seen.append(event.result))

    assert call(squares.function.get_many, [3, 2, 3]) == [9, 4, 9]
    assert call(squares.function.get_many, [2, 4]) == [4, 16]

    hooks.unsubscribe(hooks.Lookup, note)
    assert squares.asked == [3, 2, 4]
    assert seen == ["miss", "miss", "hit", "miss"]


def test_many_hits_are_one_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    squares: Any = cached(300, name="trips")(lambda x: x * x)
    squares.get_many(range(20))
    squares.get_many(range(20))
    exchange, trips, me = Wire.exchange, [], threading.get_ident()

    def noted(self: Wire, payload: bytes, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == me:
            trips.append(payload)
        return exchange(self, payload, *args, **kwargs)

    monkeypatch.setattr(Wire, "exchange", noted)
    assert squares.get_many(range(20)) == [x * x for x in range(20)]

    assert len(trips) == 1


def test_what_a_dict_leaves_out_the_function_is_asked_for(call: Call) -> None:
    squares = Squares(call)
    squares.function.batch(call.producer(lambda items: {x: x * x for x in items if x > 2}))

    assert call(squares.function.get_many, [1, 2, 3]) == [1, 4, 9]
    assert squares.asked == [1, 2]


def test_a_batch_function_that_returns_too_little_is_refused(call: Call) -> None:
    function: Any = cached(300, name="short", batch=call.producer(lambda items: items[1:]))(call.producer(lambda x: x))

    with pytest.raises(ValueError, match="given 2 items and returned 1 values"):
        call(function.get_many, [1, 2])


def test_a_batch_function_is_awaited_if_its_function_is() -> None:
    async def awaited(items: Any) -> Any: ...

    with pytest.raises(TypeError, match="Write both in one way"):
        module_level.batch(cast("Any", awaited))


@transactional
def test_each_entry_depends_on_all_that_was_read_for_the_batch(django_assert_num_queries: Any) -> None:
    books = [make_book(str(number)) for number in range(3)]
    other = make_book("other")
    title: Any = cached(300, name="titles")(lambda pk: Book.objects.get(pk=pk).title)
    title.batch(lambda pks: {pk: book.title for pk, book in Book.objects.in_bulk(pks).items()})
    pks = [one.pk for one in books]
    outer: Any = cached(300, name="all_titles")(lambda: title.get_many(pks))

    with django_assert_num_queries(1):
        assert title.get_many(pks) == outer() == ["0", "1", "2"]
    Book.objects.filter(pk=other.pk).update(title="changed")
    with django_assert_num_queries(0):
        assert title.get_many(pks) == outer() == ["0", "1", "2"]
    Book.objects.filter(pk=pks[1]).update(title="new")
    with django_assert_num_queries(1):
        assert title.get_many(pks) == outer() == ["0", "new", "2"]
    invalidate(title.tag)
    assert [title.peek(pks[0]), outer.peek()] == [MISSING, MISSING]

    lazy: Any = cached(300, name="lazy_rows", batch=lambda pks: [Book.objects.filter(pk=pk) for pk in pks])(
        lambda pk: 0
    )
    assert [one.title for rows in lazy.get_many(pks) for one in rows] == ["0", "new", "2"]
    Book.objects.filter(pk=pks[0]).update(title="zero")
    assert [one.title for rows in lazy.get_many(pks) for one in rows] == ["zero", "new", "2"]


@transactional
def test_in_a_transaction_that_has_written_nothing_old_is_shown() -> None:
    book = make_book("old")
    batches: list[list[int]] = []

    def titles(pks: list[int]) -> list[str]:
        batches.append(pks)
        return [Book.objects.get(pk=pk).title for pk in pks]

    title: Any = cached(300, name="inside", batch=titles)(lambda pk: "")
    title.get_many([book.pk])
    with transaction.atomic():
        assert title.peek(book.pk) == "old"
        Book.objects.filter(pk=book.pk).update(title="new")
        assert title.peek(book.pk) is MISSING
        assert title.get_many([book.pk]) == ["new"]

    assert title.peek(book.pk) is MISSING
    assert batches == [[book.pk]] * 2


def test_what_is_invalidated_while_a_batch_is_computed_is_never_served(alias: str) -> None:
    begun, forgotten = threading.Event(), threading.Event()
    values = iter(["old", "new"])

    def many(items: list[int]) -> list[str]:
        found = next(values)
        if found == "old":
            begun.set()
            assert forgotten.wait(60)
        return [found] * len(items)

    function = cached(300, name="raced", alias=alias, tags=("raced",), batch=many)(lambda x: "alone")
    slow = threading.Thread(target=lambda: function.get_many([1, 2]))
    slow.start()
    assert begun.wait(60)
    invalidate("raced")
    forgotten.set()
    slow.join()

    assert function.get_many([1, 2]) == ["new", "new"]


def test_with_the_server_away_many_are_computed_at_once(call: Call, own_valkey: Any, use_cache: Any) -> None:
    use_cache(own_valkey.url)
    squares = Squares(call)
    squares.function.batch(call.producer(squares.many))
    own_valkey.kill()

    assert call(squares.function.get_many, [1, 2, 3]) == [1, 4, 9]
    assert squares.asked == [[1, 2, 3]]
    own_valkey.start()


def test_what_cannot_be_stored_is_handed_out_by_many() -> None:
    refused: list[str] = []
    hooks.subscribe(hooks.Refused, note := lambda event: refused.append(event.name))
    function = cached(300, name="locks", batch=lambda items: [threading.Lock() for _ in items])(lambda x: None)

    found = function.get_many([1, 2])

    hooks.unsubscribe(hooks.Refused, note)
    assert all(hasattr(one, "acquire") for one in found)
    assert refused == ["locks"] * 2


def test_generators_in_classes_are_refused() -> None:
    def numbers(cls: Any) -> Any:
        yield 1

    wrap: list[Callable[[Any], Any]] = [classmethod, staticmethod]
    for kind in wrap:
        with pytest.raises(UncacheableValue, match="Return a list"):
            cached(300)(kind(numbers))
