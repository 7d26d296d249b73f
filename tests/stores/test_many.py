"""Several entries at once are judged as one by one, and what is computed without a lease by the same law."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from cachekit import engine, gathering
from cachekit.core import dependencies, steps, tags
from cachekit.core.entry import NEVER, Header, Verdict, judge, seal
from cachekit.core.policy import Spec
from cachekit.engine import invalidate
from cachekit.stores import Store, store_for
from cachekit.stores.redis import RedisStore
from tests.making import spec_of
from tests.twins import Call

KEYS = tuple(f"many:{number}" for number in range(5))
TAGS = (("shop.product#1",), ("shop.product#2", "homepage"), ("shop.product",), ("shop.order#1",), ("homepage",))


def put(store: Store) -> None:
    """Store an entry for each key."""
    begun = store.do(steps.Begin("k"))
    saves = []
    for key, names in zip(KEYS, TAGS, strict=True):
        blob = dependencies.encode(names)
        header = Header(begun.epoch, begun.read_point, begun.read_point, NEVER, 0, blob)
        saves.append(steps.Save(key, seal(header, key.encode()), 0, blob))
    store.do(steps.SaveMany(tuple(saves)))


def verdicts(store: Store, call: Call) -> list[Verdict]:
    found = call(store.do, steps.LoadMany((*KEYS, "none")))
    assert [one.payload for one in found if one.header] == [key.encode() for key in KEYS]
    judged = [judge(one, store.now()) for one in found]
    assert judged == [judge(store.load(key), store.now()) for key in (*KEYS, "none")]
    return judged[:-1]


def test_many_are_judged_as_one_by_one(store: Store, call: Call) -> None:
    put(store)
    fresh, stale = Verdict.FRESH, Verdict.STALE

    for _ in range(2):
        assert verdicts(store, call) == [fresh] * 5
    store.do(steps.Invalidate(("shop.product#2",)))
    assert verdicts(store, call) == [fresh, stale, fresh, fresh, fresh]
    store.do(steps.Invalidate(("shop.product", "shop.order#1")))
    assert verdicts(store, call) == [fresh, stale, stale, stale, fresh]
    store.do(steps.Invalidate(("shop.product#*",)))
    assert verdicts(store, call) == [stale, stale, stale, stale, fresh]
    store.do(steps.Invalidate(("homepage",)))
    assert verdicts(store, call) == [stale] * 5
    put(store)
    assert verdicts(store, call) == [fresh] * 5


def test_entries_that_come_to_depend_on_other_things_are_asked_about_again(store: Store, call: Call) -> None:
    put(store)
    verdicts(store, call)
    store.do(steps.Invalidate(("shop.order#7",)))

    begun = store.do(steps.Begin("k"))
    blob = dependencies.encode(["shop.order#7", "new"])
    header = Header(begun.epoch, begun.read_point, begun.read_point, NEVER, 0, blob)
    store.do(steps.Save(KEYS[0], seal(header, KEYS[0].encode()), 0, blob))
    assert verdicts(store, call) == [Verdict.FRESH] * 5
    store.do(steps.Invalidate(("new",)))
    assert verdicts(store, call) == [Verdict.STALE, *[Verdict.FRESH] * 4]


def test_a_lost_bucket_makes_what_depends_on_it_stale_until_it_is_mended(call: Call) -> None:
    redis = store_for("default")
    assert isinstance(redis, RedisStore)
    redis.do(steps.Invalidate(("shop.product#1",)))
    put(redis)
    assert verdicts(redis, call)[0] is Verdict.FRESH

    tag = tags.parse("shop.product#1")
    redis.client.delete(f"{redis.ledger.root}:{tags.place_of(tag.family, tag.digest).decode()}")
    assert verdicts(redis, call)[0] is Verdict.STALE

    spec = dataclasses.replace(spec_of("default"), key=KEYS[0])
    for _ in range(2):
        gathering.gather([spec], lambda places: [("new", ["shop.product#1"]) for _ in places])
    assert judge(redis.load(KEYS[0]), redis.now()) is Verdict.FRESH


def test_only_what_is_missing_is_computed_and_at_once(alias: str, call: Call) -> None:
    specs = [dataclasses.replace(spec_of(alias), key=key, tags=()) for key in KEYS]
    asked: list[tuple[int, ...]] = []

    def produce(places: tuple[int, ...]) -> list[gathering.Made]:
        asked.append(places)
        return [(f"value {place}", [f"shop.product#{place}"]) for place in places]

    def get() -> Any:
        return call(gathering.gather, specs, call.producer(produce))

    for _ in range(2):
        assert get() == [f"value {place}" for place in range(5)]
    invalidate("shop.product#3", "shop.product#4")
    get()
    get()

    assert asked == [(0, 1, 2, 3, 4), (3, 4)]


def light(alias: str) -> Spec:
    spec = spec_of(alias)
    return dataclasses.replace(spec, policy=dataclasses.replace(spec.policy, lease=False, tags=("light",)))


def test_what_is_computed_without_a_lease_is_stale_once_something_changed_meanwhile(alias: str, call: Call) -> None:
    spec, seen = light(alias), [0]
    store_for(alias).do(steps.Begin("k"))

    def produce() -> int:
        seen[0] += 1
        if seen[0] == 1:
            invalidate("light")
        return seen[0]

    values = [call(engine.get_or_set, spec, call.producer(produce)) for _ in range(3)]

    assert values == [1, 2, 2]


def test_no_lease_is_taken_where_none_is_worth_it(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, store = light("default"), store_for("default")
    assert isinstance(store, RedisStore)
    store.do(steps.Begin("k"))
    monkeypatch.delitem(store._talks, steps.Begin)

    assert call(engine.get_or_set, spec, call.producer(lambda: 7)) == 7
    assert call(engine.get_or_set, spec, call.producer(lambda: 8)) == 7
