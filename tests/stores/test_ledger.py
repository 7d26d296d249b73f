"""The ledger: points, epochs and leases, and what is left of the law when parts of it are lost."""

from __future__ import annotations

import os
import threading
import time
from itertools import pairwise
from typing import Any

import pytest

from cachekit.core import dependencies, steps, tags
from cachekit.core.entry import NEVER, Header, Verdict, judge, seal
from cachekit.engine import get_or_set, invalidate
from cachekit.stores import Store, memory, store_for
from cachekit.stores.ledger import BUCKET_LIMIT
from cachekit.stores.memory import MemoryStore
from cachekit.stores.redis import RedisStore
from tests.making import Source, spec_of
from tests.patience import PATIENCE, until
from tests.twins import Call

SECOND = 1_000_000


@pytest.fixture
def redis() -> RedisStore:
    store = store_for("default")
    assert isinstance(store, RedisStore)
    return store


@pytest.fixture
def client(redis: RedisStore) -> Any:
    """The server, for what tests do to it behind the store's back."""
    return redis.client


def put(store: Store, key: str, *names: str, call: Call | None = None) -> tuple[steps.Begun, steps.Saved]:
    """Compute and store an entry that depends on these tags."""
    do = store.do if call is None else lambda step: call(store.do, step)
    begun = do(steps.Begin(key))
    blob = dependencies.merge(names, [])
    header = Header(begun.epoch, begun.read_point, begun.read_point, NEVER, 0, blob)
    return begun, do(steps.Save(key, seal(header, b"payload"), 0, blob))


def verdict(store: Store, key: str, call: Call | None = None) -> Verdict:
    return judge(store.load(key) if call is None else call(store.load, key), store.now())


def bucket_of(redis: RedisStore, text: str) -> str:
    tag = tags.parse(text)
    return f"{redis.ledger.root}:{tags.place_of(tag.family, tag.digest).decode()}"


# The clock


def test_points_and_read_points_never_go_back(store: Store, call: Call) -> None:
    seen = []
    for _ in range(20):
        seen.append((call(store.do, steps.Begin("k")).read_point, 0))
        seen.append((call(store.do, steps.Invalidate(("homepage",))), 1))

    assert seen == sorted(seen)
    assert all(later > sooner for (sooner, _), (later, kind) in pairwise(seen) if kind)


def test_an_invalidation_lies_after_every_read_point_handed_out(redis: RedisStore, client: Any) -> None:
    begun = redis.do(steps.Begin("k"))
    ahead = begun.read_point + SECOND // 2
    client.hset(redis.ledger.root, "last", ahead)

    assert redis.do(steps.Begin("k")).read_point == ahead
    assert redis.do(steps.Invalidate(("homepage",))) == ahead + 1


def test_a_clock_set_back_begins_a_new_epoch(redis: RedisStore, client: Any) -> None:
    begun, _ = put(redis, "k", "homepage")
    redis.do(steps.Invalidate(("homepage", "zoo.book")))
    put(redis, "k", "homepage")
    client.hset(redis.ledger.root, "last", begun.read_point + 3600 * SECOND)
    client.hset(bucket_of(redis, "homepage"), tags.digest("homepage"), begun.read_point + 3600 * SECOND)

    again = redis.do(steps.Begin("k"))

    assert again.epoch != begun.epoch
    assert again.read_point < begun.read_point + 60 * SECOND, "time goes on"
    assert verdict(redis, "k") is Verdict.STALE
    put(redis, "k", "homepage")
    assert verdict(redis, "k") is Verdict.FRESH, "points of the future went with the old epoch"


def test_a_clock_a_little_behind_goes_on_from_the_last_point(redis: RedisStore, client: Any) -> None:
    begun, _ = put(redis, "k", "homepage")
    client.hset(redis.ledger.root, "last", begun.read_point + SECOND // 2)

    assert redis.do(steps.Begin("k")).epoch == begun.epoch


@pytest.mark.parametrize("last", ["", "nonsense"])
def test_a_root_that_cannot_be_read_is_begun_again(redis: RedisStore, client: Any, last: str) -> None:
    begun, _ = put(redis, "k", "homepage")
    client.hset(redis.ledger.root, "last", last)

    assert redis.do(steps.Begin("k")).epoch != begun.epoch


def test_every_microsecond_digit_survives_lua(redis: RedisStore, client: Any) -> None:
    for _ in range(20):
        point = redis.do(steps.Invalidate(("homepage", "zoo.book")))
        stored = [
            client.hget(bucket_of(redis, "homepage"), tags.digest("homepage")),
            client.hget(redis.ledger.root, "zoo.book"),
            client.hget(redis.ledger.root, "last"),
        ]

        assert [int(one) for one in stored] == [point] * 3
    assert abs(point - time.time() * SECOND) < 5 * SECOND


def test_memory_keeps_the_order_when_its_clock_is_set_back() -> None:
    now = [1000.0]
    store = MemoryStore("memory", "test", clock=lambda: now[0])
    put(store, "k", "homepage")
    now[0] -= 500

    store.do(steps.Invalidate(("homepage",)))

    assert verdict(store, "k") is Verdict.STALE
    put(store, "k", "homepage")
    assert verdict(store, "k") is Verdict.FRESH


# What is lost


def test_a_fresh_entry_is_redated_to_what_is_known_now(store: Store, call: Call) -> None:
    put(store, "k", "homepage", call=call)
    point = call(store.do, steps.Invalidate(("something-else",)))

    found = call(store.load, "k")

    assert judge(found, store.now()) is Verdict.FRESH
    assert found.last == point


@pytest.mark.parametrize("known", [True, False])
def test_a_lost_bucket_is_stale_never_fresh(redis: RedisStore, client: Any, call: Call, known: bool) -> None:
    redis.do(steps.Invalidate(("homepage",)))
    put(redis, "k", "homepage")
    assert verdict(redis, "k", call) is Verdict.FRESH
    if not known:
        redis.ledger.forget()  # another process, which has not asked for this bucket yet

    client.delete(bucket_of(redis, "homepage"))

    assert verdict(redis, "k", call) is Verdict.STALE
    _, saved = put(redis, "k", "homepage", call=call)
    assert saved.newest == NEVER, "what is stored without knowing is born stale"
    put(redis, "k", "homepage", call=call)
    assert verdict(redis, "k", call) is Verdict.FRESH, "saving gave the bucket a floor"


@pytest.mark.parametrize("field", ["f", "digest"])
def test_a_bucket_that_holds_no_numbers_is_lost_and_mended(
    redis: RedisStore, client: Any, call: Call, field: str
) -> None:
    redis.do(steps.Invalidate(("homepage",)))
    put(redis, "k", "homepage")
    assert verdict(redis, "k", call) is Verdict.FRESH

    client.hset(bucket_of(redis, "homepage"), "f" if field == "f" else tags.digest("homepage"), b"\xff")
    assert verdict(redis, "k", call) is Verdict.STALE
    (many,) = call(redis.do, steps.LoadMany(("k",)))
    assert judge(many, redis.now()) is Verdict.STALE

    for _ in range(2):  # the first time the bucket is mended, which is to be invalidated now
        put(redis, "k", "homepage")
    assert verdict(redis, "k", call) is Verdict.FRESH


def test_a_lost_bucket_counts_as_invalidated_when_it_is_written_again(redis: RedisStore, client: Any) -> None:
    same = next(f"t{n}" for n in range(10_000) if bucket_of(redis, f"t{n}") == bucket_of(redis, "homepage"))
    redis.do(steps.Invalidate(("homepage",)))
    put(redis, "k", "homepage")
    client.delete(bucket_of(redis, "homepage"))

    redis.do(steps.Invalidate((same,)))

    assert verdict(redis, "k") is Verdict.STALE


def test_a_lost_root_is_a_new_epoch(redis: RedisStore, client: Any, call: Call) -> None:
    begun, _ = put(redis, "k", "homepage", "zoo.book#1")

    client.delete(redis.ledger.root)

    assert verdict(redis, "k", call) is Verdict.STALE
    again, _ = put(redis, "k", "homepage", call=call)
    assert again.epoch != begun.epoch
    assert verdict(redis, "k", call) is Verdict.FRESH


def test_a_root_lost_while_computing_makes_the_result_stale(redis: RedisStore, client: Any) -> None:
    begun = redis.do(steps.Begin("k"))
    client.delete(redis.ledger.root)
    redis.do(steps.Begin("other"))
    header = Header(begun.epoch, begun.read_point, begun.read_point, NEVER, 0, b"")

    saved = redis.do(steps.Save("k", seal(header, b""), 0, b""))

    assert saved.epoch != begun.epoch
    assert verdict(redis, "k") is Verdict.STALE


@pytest.mark.parametrize("lost", ["FLUSHALL", "FLUSHDB", "SCRIPT FLUSH"])
def test_flushing_costs_entries_or_nothing(redis: RedisStore, client: Any, call: Call, lost: str) -> None:
    put(redis, "k", "homepage")

    client.execute_command(*lost.split())

    assert verdict(redis, "k", call) is (Verdict.FRESH if lost == "SCRIPT FLUSH" else Verdict.MISSING)
    put(redis, "k", "homepage", call=call)
    call(redis.do, steps.Invalidate(("homepage",)))
    assert verdict(redis, "k", call) is Verdict.STALE


def test_an_entry_alone_brought_back_is_stale(redis: RedisStore, client: Any) -> None:
    put(redis, "k", "homepage")
    dumped = client.dump("k")
    client.flushall()
    redis.do(steps.Begin("other"))

    client.restore("k", 0, dumped)

    assert verdict(redis, "k") is Verdict.STALE


def test_a_full_bucket_folds_its_older_half_into_its_floor(redis: RedisStore, client: Any) -> None:
    bucket = bucket_of(redis, "homepage")
    names = [name for n in range(200_000) if bucket_of(redis, name := f"t{n}") == bucket][: BUCKET_LIMIT + 10]
    for name in ("first", "last"):
        put(redis, name, names[0] if name == "first" else names[-1])
    for start in range(0, len(names), 500):
        redis.do(steps.Invalidate(tuple(names[start : start + 500])))
    put(redis, "after", names[0])

    assert client.hlen(bucket) <= BUCKET_LIMIT
    assert int(client.hget(bucket, "f")) > 0
    assert not client.hexists(bucket, tags.digest(names[0]))
    assert client.hexists(bucket, tags.digest(names[-1]))
    assert [verdict(redis, name) for name in ("first", "last", "after")] == [
        Verdict.STALE,
        Verdict.STALE,
        Verdict.FRESH,
    ]


def test_memory_folds_what_is_more_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_POINTS", 10)
    store = MemoryStore("memory", "test")
    put(store, "k", "t0")

    for n in range(20):
        store.do(steps.Invalidate((f"t{n}",)))

    assert verdict(store, "k") is Verdict.STALE


def test_only_what_is_invalidated_takes_room(redis: RedisStore, client: Any) -> None:
    put(redis, "k", *(f"zoo.book#{n}" for n in range(30)))
    size = client.dbsize()

    for n in range(50):
        put(redis, f"k{n}", f"zoo.book#{n}")

    assert client.dbsize() == size + 50


def test_a_bucket_written_for_the_first_time_is_asked_for(redis: RedisStore, call: Call) -> None:
    put(redis, "k", "homepage", call=call)
    assert verdict(redis, "k", call) is Verdict.FRESH

    redis.do(steps.Invalidate(("homepage",)))

    assert verdict(redis, "k", call) is Verdict.STALE


def test_changed_dependencies_are_noticed(redis: RedisStore, call: Call) -> None:
    put(redis, "k", "one")
    assert verdict(redis, "k", call) is Verdict.FRESH
    other = RedisStore("default", redis.prefix, redis.client)  # another process
    other.do(steps.Invalidate(("two",)))
    put(other, "k", "two")
    other.do(steps.Invalidate(("two",)))

    assert verdict(redis, "k", call) is Verdict.STALE


# Leases


def test_one_holds_the_lease_and_the_others_learn_who(redis: RedisStore, call: Call) -> None:
    mine = call(redis.do, steps.Begin("k", lease=5))
    its = call(redis.do, steps.Begin("k", lease=5))

    assert mine.token
    assert (its.token, its.holder) == ("", mine.token)
    call(redis.do, steps.Release("k", mine.token))
    assert call(redis.do, steps.Begin("k", lease=5)).token


def test_a_lease_is_prolonged_by_its_holder_only(redis: RedisStore, client: Any, call: Call) -> None:
    mine = redis.do(steps.Begin("k", lease=0.5))

    assert call(redis.do, steps.Renew("k", mine.token, 30))
    assert not call(redis.do, steps.Renew("k", "another", 60))
    call(redis.do, steps.Release("k", "another"))

    assert 20_000 < client.pttl(redis.ledger._lease("k")) <= 30_000


def test_saving_gives_the_lease_back_and_rings(redis: RedisStore, client: Any) -> None:
    mine = redis.do(steps.Begin("k", lease=30))
    redis.do(steps.Begin("k", lease=30))  # somebody who will wait
    rung: list[bool] = []
    waiter = threading.Thread(target=lambda: rung.append(redis.do(steps.Wait(mine.token, 300))))
    waiter.start()
    until(lambda: client.info("clients")["blocked_clients"])
    header = Header(mine.epoch, mine.read_point, mine.read_point, NEVER, 0, b"")
    redis.do(steps.Save("k", seal(header, b""), 0, b"", mine.token))
    waiter.join(PATIENCE)

    assert rung, "rung long before its time is over"
    assert redis.do(steps.Begin("k", lease=30)).token


def test_a_bell_that_rang_already_is_heard(redis: RedisStore, call: Call) -> None:
    mine = redis.do(steps.Begin("k", lease=30))
    redis.do(steps.Begin("k", lease=30))
    redis.do(steps.Release("k", mine.token))
    started = time.monotonic()

    call(redis.do, steps.Wait(mine.token, 300))

    assert time.monotonic() - started < PATIENCE


def test_waiting_ends_with_its_time(store: Store, call: Call) -> None:
    assert not call(store.do, steps.Wait(os.urandom(8).hex(), 0.05))


# Memory


def test_memory_drops_the_entry_not_used_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_ENTRIES", 2)
    store = MemoryStore("memory", "test")
    put(store, "a")
    put(store, "b")
    store.load("a")

    put(store, "c")

    assert [verdict(store, key) for key in "abc"] == [Verdict.FRESH, Verdict.MISSING, Verdict.FRESH]


def test_memory_forgets_what_is_over() -> None:
    now = [1000.0]
    store = MemoryStore("memory", "test", clock=lambda: now[0])
    store.do(steps.Save("k", seal(Header(store._epoch, 0, 0, NEVER, 0, b""), b""), 500, b""))

    now[0] += 0.6

    assert verdict(store, "k") is Verdict.MISSING
    assert "k" not in store.entries


def test_clearing_memory_begins_an_epoch() -> None:
    store = store_for("memory")
    assert isinstance(store, MemoryStore)
    spec, source = spec_of("memory"), Source("old", "new")
    get_or_set(spec, source)

    store.clear()

    assert get_or_set(spec, source) == "new"
    assert invalidate("homepage", alias="memory")


def test_the_events_of_a_ledger_say_who_and_why(redis: RedisStore, client: Any) -> None:
    point = redis.do(steps.Invalidate(("homepage", "zoo.book"), "sale", "Ada"))

    ((_, event),) = client.xrange(redis.ledger.events)

    assert event[b"tags"] == b"homepage zoo.book"
    assert (event[b"why"], event[b"by"], int(event[b"point"]), event[b"seq"]) == (b"sale", b"Ada", point, b"1")
