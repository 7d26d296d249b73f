"""The Lua scripts on a real server and their model in Python give the same answers and leave the same keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis import Redis

from cachekit.core import dependencies, steps, tags
from cachekit.core.entry import NEVER, Header, seal
from cachekit.stores import ledger, scripts
from cachekit.stores.ledger import Ledger
from cachekit.stores.scripts import Script, Talk
from cachekit.stores.wire import Wire
from tests.consistency.redis_model import RedisModel, forget_places
from tests.servers import Valkey

TIME = "local t = redis.call('TIME')\n  return t[1] * 1000000 + t[2]"
CLOCK = "the-time"
LIFETIMES = ("+ 2000)", ", 5000)", ", 60000)")
LIMIT = 4
ACTS = 300
TAGS = (
    *(f"shop.book#{n}" for n in range(6)),
    "shop.book?shelf=1",
    "shop.book",
    "shop.book#*",
    "db:default",
    "*",
    "home",
)
DEPENDENCIES = tuple(tag for tag in TAGS if tags.parse(tag).kind != "whole")
TRANSACTIONS = ("one", "two", "three")
JUMPS = (*range(8), 400, 90_000, 1_200_000, 11_000_000, -3, -90_000, -900_000, -1_500_000, -12_000_000)
MUTATIONS = (
    ("begin", "redis.call('HSET', root, 'last', text(point))", ""),
    ("points", "floor = math.max(floor, points[i][2])", ""),
    ("points", "redis.call('HSET', bucket, 'f', text(now))", "redis.call('HSET', bucket, 'f', '0')"),
    ("invalidate", "greatest = (known or others > 0) and math.max(point, others) or standing", "greatest = point"),
    ("invalidate", "local point = math.max(last + 1, now)", "local point = now"),
    ("intend", "math.max(point, held(place, field))", "point"),
    ("withdraw", "greatest = math.max(greatest, tonumber(other))", ""),
    ("attach", "written ~= run_id()", "not written"),
    ("mend", "redis.call('HSETNX', bucket, 'f', stamp)", ""),
    ("ledger", "redis.call('HSET', root, '*', moved, '>', moved)", ""),
    ("ledger", "last > now + SKEW", "false"),
)


class Pair:
    """A server and the model, told the same in the same order, with the same dice."""

    def __init__(self, server: Valkey, seed: int) -> None:
        self.rng = Random(seed)
        self.time = 1_700_000_000_000_000
        self.client = Redis.from_url(server.url)
        self.client.flushall()
        self.client.script_flush()
        self.wire = Wire(self.client.connection_pool)
        self.model = RedisModel(lambda: self.time, expires=False)
        self.model.run_id = re.findall(r"run_id:(\w+)", server.say("INFO server"))[0].encode()
        self.ledgers = (Ledger("pair"), Ledger("pair"))
        self.dice = (Random(seed), Random(seed))
        self.turn = 0

    def urandom(self, size: int) -> bytes:
        """Return bytes that are the same for both."""
        return self.dice[self.turn].randbytes(size)

    def act(self) -> None:
        """Let time pass, or jump, and do something."""
        self.time += self.rng.choice(JUMPS)
        self.client.set(CLOCK, self.time)
        if self.rng.random() < 0.02:  # the server is another than the one before
            self.client.hset("{pair}:root", "server", "another")
            self.model.hash_of(b"{pair}:root")[b"server"] = b"another"
            self.carry_out(*(one.greet() for one in self.ledgers))
        if self.rng.random() < 0.1:
            keys = sorted(self.model.keys)
            lost = self.rng.choice([key for key in keys if b":root:" in key] or keys or [b"nothing"])
            lost = lost if self.rng.random() < 0.7 else self.rng.choice(keys or [b"nothing"])
            self.client.delete(lost)
            self.model.delete(lost)
            return
        step = self.step()
        name = type(step).__name__.lower()
        self.carry_out(*(getattr(one, name)(step) for one in self.ledgers))

    def carry_out(self, *talks: Talk) -> None:
        """Have both do the same; compare what is asked, every reply, the answer, and the keys."""
        replies: tuple[list[Any] | None, ...] = (None, None)
        while True:
            asked, answers = [], []
            for self.turn, talk in enumerate(talks):
                try:
                    asked.append(talk.send(replies[self.turn]))  # type: ignore[arg-type]
                except StopIteration as end:
                    answers.append(end.value)
            if answers:
                assert not asked
                assert answers[0] == answers[1]
                break
            assert asked[0]._replace(farewell=None) == asked[1]._replace(farewell=None)
            assert [one.farewell and one.farewell() for one in asked[:1]] == [
                one.farewell and one.farewell() for one in asked[1:]
            ]
            replies = (self.wire.exchange(asked[0].payload, asked[0].replies), self.model.exchange(asked[1].payload))
            assert list(map(_plain, replies[0] or ())) == list(map(_plain, replies[1] or ()))
        self.compare()

    def compare(self) -> None:
        """Compare the keys; of points that are equal a fold may drop either."""
        kept = self.kept()
        for key, there in kept.items():
            here = self.model.keys.get(key)
            if isinstance(here, dict) and here != there and sorted(here.values()) == sorted(there.values()):
                assert b"f" in there
                self.model.keys[key] = there
        events = self.model.keys.pop(b"{pair}:events", [])
        assert self.model.keys == kept
        assert [dict(zip(told[::2], told[1::2], strict=True)) for _, told in events] == self.told(len(events))
        if events:
            self.model.keys[b"{pair}:events"] = events

    def told(self, count: int) -> list[dict[bytes, bytes]]:
        """Return the end of the real stream, as far as mirrors read it."""
        there: Any = self.client.xrevrange("{pair}:events", count=count) if count else []
        return [{name: one[name] for name in (b"seq", b"epoch", b"kind", b"moved")} for _, one in reversed(there)]

    def kept(self) -> dict[bytes, Any]:
        """Return this pair's keys on the real server, but for the events: others may write beside."""
        keys = [key for key in cast("list[bytes]", self.client.keys("*pair*")) if key != b"{pair}:events"]
        pipeline: Any = self.client.pipeline(transaction=False)
        for key in keys:
            pipeline.type(key)
        kinds = pipeline.execute()
        for key, kind in zip(keys, kinds, strict=True):
            getattr(pipeline, {b"hash": "hgetall", b"string": "get", b"stream": "exists"}[kind])(key)
        found = dict(zip(keys, pipeline.execute(), strict=True))
        return {key: b"rung" if held == 1 else held for key, held in found.items()}

    def step(self) -> Any:
        """Make up a step."""
        rng = self.rng
        some = tuple(rng.sample(TAGS, rng.randrange(1, 4)))
        on = dependencies.encode(rng.sample(DEPENDENCIES, rng.randrange(1, 4)))
        key, transaction = rng.choice(("pair:a", "pair:b")), rng.choice(TRANSACTIONS)
        point = self.time - rng.randrange(3)
        header = Header(b"an epoch", point, point, NEVER, 1, on)
        return rng.choice(
            (
                steps.Load(key),
                steps.Begin(key),
                steps.Begin(key, 3_000),
                steps.Save(key, seal(header, b"value"), 3_000_000, on, rng.choice(("", "token"))),
                steps.Release(key, self._holder(key)),
                steps.Renew(key, self._holder(key), 3_000),
                steps.Invalidate(some, "why", "who", rng.choice(("", transaction))),
                steps.Intend(some, transaction),
                steps.Intend(some, transaction),
                steps.Withdraw(some, transaction),
            )
        )

    def _holder(self, key: str) -> str:
        return (self.model.find(f"{{pair}}:lease:{key}".encode()) or b"none").decode()


def _plain(reply: Any) -> Any:
    if isinstance(reply, list) and reply[:1] == [b"master"]:
        return reply[:1]
    if isinstance(reply, bytes) and b"maxmemory_policy:" in reply:
        return re.findall(rb"maxmemory_policy:(\w+)", reply)
    if isinstance(reply, bytes) and b"run_id:" in reply:
        return re.findall(rb"run_id:(\w+)", reply)
    return type(reply) if isinstance(reply, Exception) else reply


@contextmanager
def pair_of(server: Valkey, seed: int, part: str = "", right: str = "", wrong: str = "") -> Iterator[Pair]:
    """Yield a pair whose clocks this test sets; a part of the Lua, not of the model, may be made wrong."""
    original = scripts.script.__wrapped__

    def script(name: str) -> Script:
        source = original(name).source.replace(TIME, f"return tonumber(redis.call('GET', '{CLOCK}'))")
        for lifetime in LIFETIMES:  # nothing may expire while a busy machine takes its time
            source = source.replace(lifetime, f"{lifetime[:-1]}000)")
        if part in ("ledger", "points", name):
            source = source.replace(right, wrong)
        return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "script", script)
        patch.setattr(ledger, "BUCKET_LIMIT", LIMIT)
        patch.setattr(tags, "BUCKETS", 2)
        forget_places()
        pair = Pair(server, seed)
        patch.setattr(ledger, "os", SimpleNamespace(urandom=pair.urandom))
        try:
            yield pair
        finally:
            forget_places()
            pair.wire.drop()
            pair.client.close()


@pytest.mark.parametrize("seed", range(6))
def test_scripts_and_model_agree(valkey: Valkey, seed: int) -> None:
    with pair_of(valkey, seed) as pair:
        for _ in range(ACTS):
            pair.act()


@pytest.mark.parametrize(("part", "right", "wrong"), MUTATIONS)
def test_a_wrong_script_is_noticed(valkey: Valkey, part: str, right: str, wrong: str) -> None:
    folder = Path(ledger.__file__).parent / "lua"
    assert (folder / f"{part}.lua").read_text().count(right) == 1, "adapt this mutation"

    assert any(differ(valkey, seed, part, right, wrong) for seed in range(6))


def differ(server: Valkey, seed: int, *wrong: str) -> bool:
    """Tell whether a script made wrong is found out."""
    with pair_of(server, seed, *wrong) as pair:
        try:
            for _ in range(ACTS):
                pair.act()
        except AssertionError:
            return True
    return False
