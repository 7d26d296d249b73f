"""Every read against every way of writing, through every door: what was written is fresh, the rest stays a hit.

One world is read through all doors; each deed is done to it, and world and cache are put back as they were. After every
other deed functions are asked, after the others querysets, on PostgreSQL the other way round, and half of them are
awaited; `make conformance` asks everything each time.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection
from django.db.models import QuerySet

from cachekit import CachedManager, CachedQuerySet, acached_query, cached, cached_query
from cachekit.stores import store_for
from tests.orm.deeds import DEEDS
from tests.orm.questions import QUESTIONS, ROWS, Question, shown
from tests.orm.reach import READS, WRITES, meets
from tests.orm.shapes import SHAPES
from tests.orm.world import Snapshot, populate

pytestmark = pytest.mark.django_db(transaction=True)
CACHE = "memory"
WHOLE = bool(os.environ.get("CACHEKIT_CONFORMANCE"))
PARTS = 4
"""So many tests share the deeds, so that processes can share the work."""
STATE = ("entries", "_points", "_floor", "_epoch")
"""What a store in memory knows."""


@pytest.fixture(autouse=True)
def _nothing_expires(settings: Any, _one_cache: None) -> None:
    """Have only writes make an entry stale, however long a busy machine takes."""
    settings.CACHEKIT = {**settings.CACHEKIT, "NEGATIVE_TIMEOUT": 10**6, "JITTER": 0}


class Read(NamedTuple):
    """One way to ask one thing."""

    reads: str
    plain: Callable[[], Any]
    kept: Callable[[], Any]
    awaited: bool = False


class Answer(NamedTuple):
    """What a read returned, or the name of what it raised, and the SQL that it took."""

    value: Any
    sql: tuple[str, ...]


def settled(read: Callable[[], Any]) -> Any:
    """Return what a read returns, or the name of what it raises."""
    try:
        return read()
    except Exception as error:
        return type(error).__name__


async def asettled(read: Callable[[], Any]) -> Any:
    """Like `settled`."""
    try:
        return await read()
    except Exception as error:
        return type(error).__name__


def plainly(model: Any) -> Any:
    return QuerySet(model)


def from_cache(model: Any) -> Any:
    return CachedQuerySet(model).cached(None)


def from_rows(model: Any) -> Any:
    manager = CachedManager(rows=None)
    manager.model, manager.name = model, "kept"
    return manager


def awaiting(name: str, shape: Callable[[], Any]) -> Callable[[], Any]:
    """Return a cached coroutine function, which reads in a thread."""

    async def ashape() -> Any:
        return await sync_to_async(shape)()

    return cached(None, name=f"ashape.{name.replace(' ', '_')}")(ashape)


def listed(question: Question) -> Callable[[], Any]:
    return lambda: shown(cached_query(question.ask(plainly), None))


def alisted(question: Question) -> Callable[[], Any]:
    async def ask() -> Any:
        return shown(await acached_query(question.ask(plainly), None))

    return ask


def asked(question: Question, source: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: question.called(source)


def aasked(question: Question, source: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: question.awaited(source)


def doors() -> Iterator[tuple[str, Read]]:
    """Yield everything that is asked, under the names of door and thing."""
    for name, shape in SHAPES.items():
        reads = READS[name]
        yield f"@cached: {name}", Read(reads, shape, cached(None, name=f"shape.{name.replace(' ', '_')}")(shape))
        yield f"@cached, awaited: {name}", Read(reads, shape, awaiting(name, shape), awaited=True)
    for name, one in QUESTIONS.items():
        plain = asked(one, plainly)
        yield f".cached(): {name}", Read(one.reads, plain, asked(one, from_cache))
        yield f".cached(), awaited: {name}", Read(one.reads, plain, aasked(one, from_cache), awaited=True)
        if not one.end:
            yield f"cached_query: {name}", Read(one.reads, plain, listed(one))
            yield f"acached_query: {name}", Read(one.reads, plain, alisted(one), awaited=True)
    for name, one in ROWS.items():
        yield f"rows: {name}", Read(one.reads, asked(one, plainly), asked(one, from_rows))
        yield f"rows, awaited: {name}", Read(one.reads, asked(one, plainly), aasked(one, from_rows), awaited=True)


DOORS = dict(doors())


@contextmanager
def noting() -> Iterator[list[str]]:
    """Give the SQL that reaches the database inside."""
    found: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        found.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        yield found


def answers(of: Collection[str] | None = None) -> dict[str, Answer]:
    """Ask everything through every door, or through those that are named."""
    found: dict[str, Answer] = {}
    asked_for = [(name, one) for name, one in DOORS.items() if of is None or name in of]

    async def wait(sql: list[str]) -> None:
        for name, one in asked_for:
            if one.awaited:
                sql.clear()
                found[name] = Answer(await asettled(one.kept), (*sql,))

    with noting() as sql:
        for name, one in asked_for:
            if not one.awaited:
                sql.clear()
                found[name] = Answer(settled(one.kept), (*sql,))
        if any(one.awaited for _, one in asked_for):
            async_to_sync(wait)(sql)
    return found


def turn(number: int) -> Collection[str] | None:
    """Return the doors that are asked after a deed; None for all."""
    if WHOLE:
        return None
    functions, awaited = bool(number % 2) == (connection.vendor == "postgresql"), bool(number // 2 % 2)
    return [name for name, one in DOORS.items() if name.startswith("@") == functions and one.awaited == awaited]


class World:
    """The rows, what every door answers of them, and a cache that holds it all."""

    def __init__(self) -> None:
        populate()
        self.snapshot = Snapshot()
        self.answers: dict[Callable[[], Any], Any] = {}
        self.tables: dict[Callable[[], Any], set[str]] = {}
        for one in DOORS.values():
            if one.plain not in self.answers:
                with noting() as sql:
                    self.answers[one.plain] = settled(one.plain)
                self.tables[one.plain] = set(re.findall(r"\bzoo_\w+", " ".join(sql)))
        first = {name: answer.value for name, answer in answers().items()}
        assert first == {name: self.answers[one.plain] for name, one in DOORS.items()}
        self._store: Any = store_for("default")
        self._kept = self._known()

    def _known(self) -> dict[str, Any]:
        return {name: copy.copy(getattr(self._store, name)) for name in STATE}

    def restore(self) -> None:
        """Put rows and cache back as they were, together."""
        self.snapshot.restore()
        for name, value in self._kept.items():
            setattr(self._store, name, copy.copy(value))

    def fresh(self, of: Collection[str] | None) -> dict[Callable[[], Any], Any]:
        """Return what the database answers now; of tables that hold what they held the answer is known."""
        changed = self.snapshot.changed()
        wanted = {one.plain for name, one in DOORS.items() if of is None or name in of}
        return {
            plain: settled(plain) if self.tables[plain] & changed else answer
            for plain, answer in self.answers.items()
            if plain in wanted
        }


def test_everything_is_a_hit_the_second_time() -> None:
    world = World()

    again = answers()

    assert {name: answer.sql for name, answer in again.items() if answer.sql} == {}
    assert {name: answer.value for name, answer in again.items()} == {
        name: world.answers[one.plain] for name, one in DOORS.items()
    }


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_what_a_deed_changes_is_fresh_and_what_it_leaves_alone_stays_a_hit(part: int) -> None:
    world = World()
    stale, lost, pairs, renewed = [], [], 0, 0

    for number, deed in enumerate(list(DEEDS)[part::PARTS]):
        DEEDS[deed]()
        fresh = world.fresh(turn(number))
        for name, (value, sql) in answers(turn(number)).items():
            one = DOORS[name]
            pairs += 1
            renewed += value != world.answers[one.plain]
            if value != fresh[one.plain]:
                stale.append((deed, name, value, fresh[one.plain]))
            if sql and not meets(one.reads, WRITES[deed]):
                lost.append((deed, name, sql[0][:200]))
        world.restore()

    assert stale == []
    assert lost == []
    assert renewed > 150, f"only {renewed} of {pairs} pairs changed their answer"


def test_reads_and_deeds_are_all_described() -> None:
    assert set(READS) == set(SHAPES)
    assert set(WRITES) == set(DEEDS)
