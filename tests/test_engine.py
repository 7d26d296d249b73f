"""The engine: what is served, what is computed, what is stored."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

from cachekit import cached, computing, engine, hooks
from cachekit.core.capture import depend
from cachekit.core.codecs import Undecodable
from cachekit.core.dependencies import encode
from cachekit.core.entry import NEVER, seal, unseal
from cachekit.core.policy import Spec
from cachekit.core.steps import Save
from cachekit.stores import Store, store_for
from cachekit.stores.memory import MemoryStore
from tests.making import Source, hearing, spec_of
from tests.twins import Call
from tests.zoo.builders import make_book
from tests.zoo.models import Book

Get = Callable[[Spec, Callable[[], Any]], Any]


@pytest.fixture
def get(call: Call) -> Get:
    """`get_or_set`, then `aget_or_set`."""
    return lambda spec, produce: call(engine.get_or_set, spec, call.producer(produce))


def age(store: Store, spec: Spec, seconds: float) -> None:
    """Make the entry of `spec` expire so many seconds earlier, as if time had passed."""
    found = store.load(spec.key)
    assert found.header is not None
    header = found.header._replace(expiry=found.header.expiry - int(seconds * 1_000_000))
    store.do(Save(spec.key, seal(header, found.payload), 60_000, header.tags))


def lookups(heard: list[hooks.Lookup]) -> list[str]:
    return [event.result for event in heard]


def test_a_value_is_computed_once(alias: str, get: Get) -> None:
    spec, source = spec_of(alias), Source({"a": [1]})

    with hearing(hooks.Lookup) as heard:
        values = [get(spec, source) for _ in range(3)]

    assert values == [{"a": [1]}] * 3
    assert values[0] is not values[1], "each caller has a value of its own"
    assert source.runs == 1
    assert lookups(heard) == ["miss", "hit", "hit"]


@pytest.mark.parametrize("nothing", [None, [], "", {}])
def test_nothing_is_a_value_too_and_shows_what_comes_into_being(alias: str, get: Get, nothing: Any) -> None:
    spec, source = spec_of(alias), Source(nothing, "row", tags=("zoo.book",))

    before = [get(spec, source), get(spec, source)]
    engine.invalidate("zoo.book#1")

    assert before == [nothing, nothing]
    assert get(spec, source) == "row"
    assert source.runs == 2


def test_nothing_lives_no_longer_than_its_own_timeout(alias: str, get: Get) -> None:
    spec = spec_of(alias, timeout=300, negative_timeout=20)

    get(spec, Source(None))

    header = store_for(alias).load(spec.key).header
    assert header is not None
    assert header.expiry // 1000 - header.read_point // 1000 == 20_000


@pytest.mark.parametrize("policy", [{"timeout": 0}, {"timeout": 300, "negative_timeout": 0}])
def test_a_timeout_of_zero_stores_nothing(alias: str, get: Get, policy: dict[str, Any]) -> None:
    spec, source = spec_of(alias, **policy), Source(None)

    get(spec, source)
    get(spec, source)

    assert source.runs == 2
    assert store_for(alias).load(spec.key).header is None


def test_a_timeout_of_none_never_ends(alias: str, get: Get) -> None:
    spec = spec_of(alias, timeout=None)

    get(spec, Source())

    header = store_for(alias).load(spec.key).header
    assert header is not None
    assert header.expiry == NEVER
    if alias == "default":
        client: Any = store_for(alias).client  # type: ignore[attr-defined]
        assert client.pttl(spec.key) == -1


def test_jitter_stays_in_its_bounds(alias: str) -> None:
    spec, lives = spec_of(alias, timeout=100, jitter=0.3), set()

    for _ in range(30):
        engine.invalidate("*", alias=alias)
        engine.get_or_set(spec, Source())
        header = store_for(alias).load(spec.key).header
        assert header is not None
        lives.add((header.expiry - header.read_point) / 1_000_000)

    assert 70 <= min(lives) < 85 < max(lives) <= 100


def test_an_expired_entry_is_served_while_it_is_renewed(alias: str, get: Get) -> None:
    spec, source = spec_of(alias, timeout=100, grace=50), Source("old", "new")
    get(spec, source)
    age(store_for(alias), spec, 110)
    meanwhile: list[Any] = []
    source.before = lambda: meanwhile.append(engine.get_or_set(spec, Source("never")))

    renewed = get(spec, source)

    assert (renewed, meanwhile) == ("new", ["old"])
    assert get(spec, source) == "new"


def test_beyond_its_grace_an_expired_entry_is_not_served(alias: str, get: Get) -> None:
    spec, source = spec_of(alias, timeout=100, grace=5, wait=0), Source("old", "new")
    get(spec, source)
    age(store_for(alias), spec, 110)
    meanwhile: list[Any] = []
    source.before = lambda: meanwhile.append(engine.get_or_set(spec, Source("own")))

    get(spec, source)

    assert meanwhile == ["own"]


def test_an_invalidated_entry_is_never_served_however_much_grace(alias: str, get: Get) -> None:
    spec, source = spec_of(alias, timeout=100, grace=50, wait=0), Source("old", "new", tags=("homepage",))
    get(spec, source)
    age(store_for(alias), spec, 110)
    engine.invalidate("homepage")
    meanwhile: list[Any] = []
    source.before = lambda: meanwhile.append(engine.get_or_set(spec, Source("own")))

    get(spec, source)

    assert meanwhile == ["own"]


def test_costly_entries_are_renewed_early_by_the_dice(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, source = spec_of(alias, timeout=100, beta=1.0), Source("old", "new")
    engine.get_or_set(spec, source)
    age(store_for(alias), spec, 90)
    found = store_for(alias).load(spec.key)
    assert found.header is not None
    costly = seal(found.header._replace(cost=20_000_000), found.payload)
    store_for(alias).do(Save(spec.key, costly, 60_000, b""))

    monkeypatch.setattr("cachekit.engine.random.random", lambda: 0.0)
    lucky = engine.get_or_set(spec, source)
    monkeypatch.setattr("cachekit.engine.random.random", lambda: 0.9)

    assert (lucky, engine.get_or_set(spec, source)) == ("old", "new")


# Nested entries


def nested(alias: str, get: Get, inner_policy: dict[str, Any] | None = None) -> tuple[Spec, Spec, Source, Source]:
    """An outer entry whose computation reads an inner one."""
    inner_spec = spec_of(alias, "inner", **(inner_policy or {}))
    inner = Source("in1", "in2", "in3", tags=("homepage",))
    outer = Source("out1", "out2", "out3")
    outer.before = lambda: get(inner_spec, inner)
    return spec_of(alias, "outer", timeout=None), inner_spec, outer, inner


@pytest.mark.parametrize("inner_was_there", [False, True])
def test_an_inner_entry_hands_its_tags_on(alias: str, inner_was_there: bool) -> None:
    spec, inner_spec, outer, inner = nested(alias, engine.get_or_set)
    if inner_was_there:
        engine.get_or_set(inner_spec, inner)

    engine.get_or_set(spec, outer)
    engine.get_or_set(spec, outer)
    assert outer.runs == 1
    engine.invalidate("homepage")

    assert engine.get_or_set(spec, outer) == "out2"


async def test_awaited_inner_entries_hand_their_tags_on_too(alias: str) -> None:
    inner, runs = spec_of(alias, "inner"), []

    async def produce_inner() -> str:
        depend("homepage")
        return "in"

    async def produce() -> str:
        runs.append(1)
        return f"{await engine.aget_or_set(inner, produce_inner)}side"

    await engine.aget_or_set(inner, produce_inner)
    for _ in range(2):
        assert await engine.aget_or_set(spec_of(alias, "outer"), produce) == "inside"
    await engine.ainvalidate("homepage")
    await engine.aget_or_set(spec_of(alias, "outer"), produce)

    assert len(runs) == 2


@pytest.mark.parametrize("inner_was_there", [False, True])
def test_an_outer_entry_expires_no_later_than_its_parts(alias: str, inner_was_there: bool) -> None:
    spec, inner_spec, outer, inner = nested(alias, engine.get_or_set, {"timeout": 7})
    if inner_was_there:
        engine.get_or_set(inner_spec, inner)

    engine.get_or_set(spec, outer)

    headers = [store_for(alias).load(one.key).header for one in (spec, inner_spec)]
    assert headers[0] is not None
    assert headers[1] is not None
    assert headers[0].expiry == headers[1].expiry


def test_an_inner_hit_is_redated_to_its_check(alias: str) -> None:
    spec, inner_spec, outer, inner = nested(alias, engine.get_or_set)
    engine.get_or_set(inner_spec, inner)
    engine.invalidate("something-else")

    engine.get_or_set(spec, outer)

    header, within = (store_for(alias).load(one.key).header for one in (spec, inner_spec))
    assert header is not None
    assert within is not None
    assert within.read_point < header.read_point, "the inner entry was checked when the outer one began"
    assert header.oldest == within.read_point


def test_an_invalidation_between_the_parts_makes_the_outer_entry_stale(alias: str) -> None:
    spec, _, outer, _ = nested(alias, engine.get_or_set)
    read = outer.before
    assert read is not None
    outer.before = lambda: (read(), engine.invalidate("homepage"))

    first = engine.resolve(spec, outer)
    outer.before = read

    assert first.born_stale
    assert engine.get_or_set(spec, outer) == "out2"


def test_parts_of_another_epoch_keep_the_outer_entry_from_being_stored(alias: str) -> None:
    spec, _, outer, _ = nested(alias, engine.get_or_set)
    read, store = outer.before, store_for(alias)
    assert read is not None

    def lose_everything() -> None:
        if isinstance(store, MemoryStore):
            store.clear()
        else:
            store.client.flushall()  # type: ignore[attr-defined]
        read()

    outer.before = lose_everything
    with hearing(hooks.Refused) as refused:
        engine.get_or_set(spec, outer)

    assert [event.name for event in refused] == ["outer"]
    assert "another epoch" in refused[0].reason
    assert store.load(spec.key).header is None


def test_an_entry_of_another_cache_keeps_the_outer_one_from_being_stored() -> None:
    spec, _, outer, _ = nested("default", lambda inner, produce: engine.get_or_set(spec_of("memory", "inner"), produce))

    engine.get_or_set(spec, outer)

    assert store_for("default").load(spec.key).header is None


def test_what_an_unstorable_inner_value_read_reaches_the_outer_one(alias: str) -> None:
    spec, inner_spec = spec_of(alias, "outer"), spec_of(alias, "inner")
    outer = Source("out1", "out2")
    outer.before = lambda: engine.get_or_set(inner_spec, Source(lambda: 1, tags=("homepage",)))

    engine.get_or_set(spec, outer)
    engine.get_or_set(spec, outer)
    assert outer.runs == 1, "the outer value itself may be stored"
    engine.invalidate("homepage")

    assert engine.get_or_set(spec, outer) == "out2"


# Ways past the cache


def test_uncached_neither_reads_nor_stores(alias: str, get: Get) -> None:
    spec, source = spec_of(alias), Source(1, 2, 3)
    get(spec, source)

    with engine.uncached():
        assert get(spec, source) == 2

    assert get(spec, source) == 1


def test_refreshing_computes_and_stores_whatever_is_there(alias: str, get: Get) -> None:
    spec, source = spec_of(alias), Source(1, 2, 3)
    get(spec, source)

    with engine.refreshing():
        assert get(spec, source) == 2

    assert get(spec, source) == 2


def test_disabled_computes_but_invalidates(alias: str, get: Get) -> None:
    spec, source = spec_of(alias), Source(1, 2, 3, tags=("homepage",))
    get(spec, source)

    with override_settings(CACHEKIT={"ENABLED": False}):
        assert get(spec, source) == 2
        engine.invalidate("homepage")

    assert get(spec, source) == (3 if alias == "default" else get(spec, source))


def test_an_error_is_the_callers_and_is_not_stored(alias: str, get: Get) -> None:
    spec, source = spec_of(alias), Source(KeyError("no"), "yes")

    with pytest.raises(KeyError, match="no"):
        get(spec, source)

    assert get(spec, source) == "yes"


# Values that cannot be kept, and those that cannot be read


@pytest.mark.parametrize(
    ("value", "reason"),
    [(datetime, "type module cannot be pickled"), (lambda: 1, "type function"), (b"x" * 10_000_000, "MAX_VALUE_BYTES")],
)
def test_what_cannot_be_stored_is_handed_out_and_told(alias: str, get: Get, value: Any, reason: str) -> None:
    spec, source = spec_of(alias), Source(value)

    with hearing(hooks.Refused) as refused:
        assert get(spec, source) is value
        assert get(spec, source) is value

    assert source.runs == 2
    assert [event.name for event in refused] == ["thing", "thing"]
    assert reason in refused[0].reason


def test_a_hundred_thousand_tags_are_too_many_to_store_but_not_to_compute() -> None:
    alias = "default"
    spec, source = spec_of(alias), Source("page", tags=tuple(f"tag-{n}" for n in range(100_000)))

    with hearing(hooks.Refused) as refused:
        assert engine.get_or_set(spec, source) == "page"

    assert "100,000" in refused[0].reason
    assert store_for(alias).load(spec.key).header is None


def test_seven_thousand_tags_can_be_stored(alias: str, get: Get) -> None:
    spec, source = spec_of(alias), Source("old", "new", tags=tuple(f"tag-{n}" for n in range(7000)))

    assert [get(spec, source), get(spec, source)] == ["old", "old"]
    engine.invalidate("tag-6999")

    assert get(spec, source) == "new"


def spoilt(store: Store, spec: Spec, change: Callable[[bytes], bytes]) -> None:
    """Put a changed payload under the key of `spec`, as another program might."""
    found = store.load(spec.key)
    assert found.header is not None
    store.do(Save(spec.key, seal(found.header, change(found.payload)), 60_000, found.header.tags))


@pytest.mark.parametrize(
    "change", [lambda payload: payload[:-1] + b"!", lambda payload: b"", lambda payload: b"x" * 99]
)
def test_a_payload_that_does_not_verify_is_a_miss_and_is_counted(
    alias: str, get: Get, change: Callable[[bytes], bytes]
) -> None:
    spec, source = spec_of(alias), Source(["old"], "new")
    get(spec, source)
    spoilt(store_for(alias), spec, change)

    with hearing(hooks.Lookup) as heard:
        assert [get(spec, source), get(spec, source)] == ["new", "new"]

    assert lookups(heard) == ["error", "miss", "hit"]


class Gone:
    """A class that a later deploy no longer has."""


def test_a_class_that_is_gone_is_a_miss(alias: str, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, source = spec_of(alias), Source(Gone(), "new")
    get(spec, source)
    monkeypatch.delattr(f"{__name__}.Gone")

    assert [get(spec, source), get(spec, source)] == ["new", "new"]


def test_an_expired_payload_that_cannot_be_read_is_never_served(alias: str, get: Get) -> None:
    spec, source = spec_of(alias, timeout=100, grace=50), Source("old", "new")
    get(spec, source)
    age(store_for(alias), spec, 110)
    spoilt(store_for(alias), spec, lambda payload: b"")
    meanwhile: list[Any] = []
    source.before = lambda: meanwhile.append(engine.get_or_set(spec, Source("own")))

    assert get(spec, source) == "new"
    assert meanwhile == ["own"]


def test_a_value_that_pickles_but_does_not_unpickle_is_computed_each_time(alias: str, get: Get) -> None:
    spec, source = spec_of(alias), Source(OneWay())

    assert [type(get(spec, source)) for _ in range(2)] == [OneWay, OneWay]


class OneWay:
    def __reduce__(self) -> Any:
        return refuse, ()


def refuse() -> None:
    raise RuntimeError("cannot be read back")


def test_foreign_bytes_under_a_key_are_a_miss(get: Get) -> None:
    spec, source = spec_of("default"), Source("value")
    client: Any = store_for("default").client  # type: ignore[attr-defined]
    get(spec, source)
    header, payload = unseal(client.get(spec.key))
    assert header is not None

    for foreign in (b"", b"CK\x01", b"hello" * 20, seal(header._replace(tags=b"r\xffbroken"), payload)):
        client.set(spec.key, foreign)
        assert get(spec, source) == "value"

    assert source.runs == 5


def test_a_key_of_another_type_computes(get: Get) -> None:
    spec, source = spec_of("default"), Source("value")
    client: Any = store_for("default").client  # type: ignore[attr-defined]
    client.lpush(spec.key, "a list")

    assert get(spec, source) == "value"


def test_a_rotated_secret_keeps_entries_while_it_is_a_fallback(get: Get, settings: Any) -> None:
    spec, source, old = spec_of("default"), Source(["old"], "new"), settings.SECRET_KEY
    get(spec, source)

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [old]
    kept = get(spec, source)
    settings.SECRET_KEY_FALLBACKS = []

    assert (kept, get(spec, source)) == (["old"], "new")


# Inside transactions


@pytest.mark.django_db(transaction=True)
def test_what_a_transaction_has_written_is_seen_by_nobody_else_before_it_commits(alias: str, get: Get) -> None:
    book = make_book("old")
    spec = spec_of(alias)

    def produce() -> str:
        return Book.objects.get(pk=book.pk).title

    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="never")
        inside = get(spec, produce)
        transaction.set_rollback(True)

    assert inside == "never"
    assert get(spec, produce) == "old"


# Costs are measured, leases kept


def test_a_computation_says_what_it_cost(alias: str, get: Get) -> None:
    spec = spec_of(alias)

    get(spec, Source(before=lambda: time.sleep(0.02)))

    header = store_for(alias).load(spec.key).header
    assert header is not None
    assert 20_000 <= header.cost < 20_000_000


def test_arguments_of_ten_megabytes_and_control_characters_make_keys(alias: str) -> None:
    @cached(60, alias=alias)
    def length(text: str) -> int:
        return len(text)

    assert [length("x" * 10_000_000), length("a\x00\r\n\ud800"), length("x" * 10_000_000)] == [10**7, 5, 10**7]
    assert len(length.key_for("x" * 10_000_000)) < 250


def test_the_name_of_a_door_is_checked_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="top-sellers"):
        cached(60, name="top sellers")(lambda: 1)


def test_a_broken_codec_is_no_concern_of_the_store() -> None:
    assert issubclass(Undecodable, ValueError)
    assert encode([]) == b""
    assert computing.MAX_TAGS_BYTES < 2**16
