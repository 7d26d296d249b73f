"""`ReadThrough`: values are loaded when they are asked for."""

from __future__ import annotations

from typing import Any, cast

import pytest

from cachekit import MISSING, ReadThrough, invalidate
from cachekit.exceptions import InvalidKey, UncacheableValue
from tests.twins import Call

RATES = {"EUR": 1.0, "USD": 1.08}


class Loader:
    """Loads rates, and notes what it was asked for."""

    def __init__(self, call: Call, **options: Any) -> None:
        self.asked: list[Any] = []
        self.rates: Any = ReadThrough(call.producer(self.load), 300, name="rates", **options)

    def load(self, key: str) -> float | None:
        self.asked.append(key)
        return RATES.get(key)

    def load_many(self, keys: list[str]) -> dict[str, float]:
        self.asked.append(keys)
        return {key: RATES[key] for key in keys if key in RATES}


def test_what_is_asked_for_is_loaded_once(call: Call, alias: str) -> None:
    loader = Loader(call, alias=alias)
    rates = loader.rates

    for _ in range(2):
        assert [call(rates.get, "EUR"), call(rates.get, "XXX"), call(rates.get, "XXX", 0)] == [1.0, None, 0]
    assert loader.asked == ["EUR", "XXX"]
    call(rates.invalidate, "EUR")
    assert [call(rates.peek, "EUR"), call(rates.peek, "XXX"), call(rates.peek, "USD")] == [MISSING, None, MISSING]
    assert [call(rates.refresh, "USD"), call(rates.peek, "USD")] == [1.08, 1.08]
    invalidate(rates.tag)
    assert call(rates.peek, "USD") is MISSING


def test_it_reads_like_a_dict() -> None:
    rates = ReadThrough(RATES.get, 300, name="dict")

    assert rates["EUR"] == 1.0
    assert ("EUR" in rates, "XXX" in rates) == (True, False)
    assert repr(rates) == "<ReadThrough dict>"
    with pytest.raises(KeyError, match="XXX"):
        _ = rates["XXX"]
    with pytest.raises(TypeError, match="iterable"):
        list(rates)  # type: ignore[call-overload]
    with pytest.raises(InvalidKey):
        rates.get(object())  # type: ignore[arg-type]


@pytest.mark.parametrize("batched", [False, True])
def test_many_are_loaded_at_once(call: Call, alias: str, *, batched: bool) -> None:
    loader = Loader(call, alias=alias)
    if batched:
        loader.rates = ReadThrough(
            call.producer(loader.load), 300, name="many", batch=call.producer(loader.load_many), alias=alias
        )
    get_many = loader.rates.get_many

    assert call(get_many, ["EUR", "XXX", "EUR"]) == {"EUR": 1.0}
    assert call(get_many, ["USD", "EUR", "XXX"]) == {"USD": 1.08, "EUR": 1.0}
    assert call(loader.rates.get, "USD") == 1.08
    assert loader.asked == ([["EUR", "XXX"], ["USD"]] if batched else ["EUR", "XXX", "USD"])


async def test_a_loader_that_is_awaited_is_awaited() -> None:
    async def load(key: str) -> float | None:
        return RATES.get(key)

    rates = ReadThrough(load, 300, name="awaited")

    assert await rates.aget("EUR") == 1.0
    assert await rates.aget_many(["USD", "XXX"]) == {"USD": 1.08}
    for ask in (rates.get, rates.refresh, rates.__getitem__, lambda key: rates.get_many([key])):
        with pytest.raises(TypeError, match=r"await its aget\(\)"):
            ask("EUR")


def test_what_cannot_be_meant_is_refused() -> None:
    async def awaited(keys: list[str]) -> list[float]:
        return []

    with pytest.raises(UncacheableValue, match="name="):
        ReadThrough(lambda key: key)
    with pytest.raises(TypeError, match="Write both in one way"):
        ReadThrough(RATES.get, name="mixed", batch=awaited)
    with pytest.raises(ValueError, match="timeout"):
        ReadThrough(RATES.get, -1, name="never")
    with pytest.raises(InvalidKey, match=r"only from text.* Ask for it by what names it"):
        ReadThrough(cast("Any", RATES.get), 300, name="keyless").get(object())
    with pytest.raises(ValueError, match="given 2 items and returned 1 values"):
        ReadThrough(RATES.get, 300, name="short", batch=lambda keys: keys[:1]).get_many(["EUR", "USD"])
