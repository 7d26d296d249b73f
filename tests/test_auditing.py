"""Hits are computed once more, one in so many: a lie is found, and nobody is accused who tells the truth."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils import translation

from cachekit import (
    cached,
    cached_query,
    cached_view,
    consistency,
    engine,
    hooks,
    invalidate,
    stats,
    suspects,
    tenants,
)
from cachekit.auditing import Suspect
from cachekit.core.capture import current
from tests.making import Source, hearing, spec_of
from tests.twins import Call
from tests.zoo.builders import make_author
from tests.zoo.models import Author


@pytest.fixture(autouse=True)
def _always(settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "AUDIT": 1}


def past_cachekit(sql: str) -> None:
    """Write as psql would: over a connection of the driver's own."""
    raw = connection.get_new_connection(connection.get_connection_params())
    try:
        raw.cursor().execute(sql)
        raw.commit()
    finally:
        raw.close()


def results(call: Call, alias: str, source: Source, reads: int = 2, **policy: Any) -> list[str]:
    """Return what the audits of these reads said."""
    with hearing(hooks.Audited) as heard:
        for _ in range(reads):
            call(engine.get_or_set, spec_of(alias, **policy), call.producer(source))
    return [event.result for event in heard]


@pytest.mark.parametrize(
    ("values", "result"),
    [
        (["old", "old"], "match"),
        (["old", "new", "new"], "mismatch"),
        (["old", "new", "newer"], "unsteady"),
        ([["old"], ["new"], ValueError("the second time")], "skipped"),
        (["old", Http404()], "mismatch"),
        (["old", Author.DoesNotExist()], "mismatch"),
        (["old", ValueError("trouble elsewhere")], "skipped"),
        ([1, True, True], "mismatch"),
    ],
)
def test_a_hit_is_computed_once_more(alias: str, call: Call, values: list[Any], result: str) -> None:
    assert results(call, alias, Source(*values)) == [result]


def test_the_visitor_gets_what_was_kept(alias: str, call: Call) -> None:
    source = Source("old", "new")

    got = [call(engine.get_or_set, spec_of(alias), call.producer(source)) for _ in range(2)]

    assert got == ["old", "old"]


def test_what_was_invalidated_meanwhile_is_no_mismatch(alias: str, call: Call) -> None:
    source = Source("old", "new", tags=("prices",))
    call(engine.get_or_set, spec_of(alias), call.producer(source))
    source.before = lambda: invalidate("prices")

    assert results(call, alias, source, reads=1) == ["raced"]


def test_what_another_has_renewed_meanwhile_is_no_mismatch(alias: str, call: Call) -> None:
    source = Source("old", "new")
    call(engine.get_or_set, spec_of(alias), call.producer(source))

    def renew() -> None:
        source.before = None
        token = current.set(None)
        with engine.refreshing():
            engine.get_or_set(spec_of(alias), lambda: "new")
        current.reset(token)

    source.before = renew

    assert results(call, alias, source, reads=1) == ["raced"]


def test_audit_false_spares_what_differs_by_itself(alias: str, call: Call) -> None:
    assert results(call, alias, Source("old", "new"), audit=False) == []


def test_one_hit_in_so_many(alias: str, settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "AUDIT": 20}
    source = Source("same")

    with hearing(hooks.Audited) as heard:
        for _ in range(1000):
            engine.get_or_set(spec_of(alias), source)

    assert 10 <= len(heard) <= 120


def test_one_at_a_time_is_enough(alias: str, call: Call) -> None:
    source = Source("same")
    spec = spec_of(alias)
    call(engine.get_or_set, spec, call.producer(source))
    read = threading.Thread(target=lambda: engine.get_or_set(spec, source))

    def meanwhile() -> None:
        source.before = None
        read.start()
        read.join()

    source.before = meanwhile

    assert results(call, alias, source, reads=2) == ["match", "match"]
    assert source.runs == 3


def test_nothing_is_audited_unless_it_is_wanted(alias: str, call: Call, settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "AUDIT": 0}

    assert results(call, alias, Source("old", "new")) == []


def test_doors_inside_are_bypassed_and_the_outer_one_learns_nothing(alias: str, call: Call) -> None:
    inner = Source("inner", tags=("inner",))

    def outer() -> str:
        return f"outer {engine.get_or_set(spec_of(alias, 'inside'), inner)}"

    with hearing(hooks.Lookup) as asked, hearing(hooks.Audited) as heard:
        for _ in range(2):
            call(engine.get_or_set, spec_of(alias, "outside"), call.producer(outer))

    assert inner.runs == 2
    assert [event.result for event in heard] == ["match"]
    assert [(event.name, event.result) for event in asked] == [
        *([("outside", "miss"), ("inside", "miss")] if asked[0].name == "outside" else []),
        ("outside", "hit"),
    ]


@pytest.mark.django_db(transaction=True)
def test_a_write_past_cachekit_is_found_in_rows_that_equal_each_other(alias: str) -> None:
    make_author(name="Ada")
    everybody = Author.objects.order_by("pk")
    cached_query(everybody, alias=alias)

    past_cachekit("UPDATE zoo_author SET name = 'Bertha'")
    with hearing(hooks.Audited) as heard:
        got = cached_query(everybody, alias=alias)

    assert [author.name for author in got] == ["Ada"]
    assert [(event.door, event.result) for event in heard] == [("query", "mismatch")]


@pytest.mark.django_db(transaction=True)
def test_honest_writes_are_never_suspected(alias: str) -> None:
    author = make_author(name="Ada")

    @cached(60, name="names", alias=alias)
    def names() -> list[str]:
        return list(Author.objects.values_list("name", flat=True))

    with hearing(hooks.Audited) as heard:
        for number in range(5):
            names()
            author.name = f"Ada {number}"
            author.save()
            assert (names(), names()) == ([author.name], [author.name])

    assert {event.result for event in heard} == {"match"}
    assert len(heard) >= 5


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_has_written_is_left_alone(alias: str) -> None:
    spec, source = spec_of(alias), Source("old", "new")
    engine.get_or_set(spec, source)

    with hearing(hooks.Audited) as heard, transaction.atomic():
        make_author(name="Ada")
        engine.get_or_set(spec, source)

    assert heard == []


@pytest.mark.django_db(transaction=True)
def test_an_error_of_the_database_does_not_end_the_visitors_transaction(alias: str) -> None:
    statements = iter(["SELECT 1", "SELECT nothing FROM nowhere"])

    def count() -> int:
        with connection.cursor() as cursor:
            cursor.execute(next(statements))
        return 1

    spec = spec_of(alias, tags=("count",))
    engine.get_or_set(spec, count)

    with transaction.atomic(), hearing(hooks.Audited) as heard:
        engine.get_or_set(spec, count)
        make_author(name="Ada")

    assert [event.result for event in heard] == ["skipped"]
    assert Author.objects.count() == 1


@pytest.mark.parametrize(
    ("pages", "result"),
    [
        ([("old", 200), ("old", 200)], "match"),
        ([("old", 200), ("new", 200), ("new", 200)], "mismatch"),
        ([("old", 200), ("gone", 404), ("gone", 404)], "mismatch"),
    ],
)
def test_pages_are_compared_by_what_a_visitor_sees(alias: str, pages: list[tuple[str, int]], result: str) -> None:
    left = iter(pages)

    @cached_view(60, alias=alias)
    def page(request: HttpRequest) -> HttpResponse:
        body, status = next(left)
        response = HttpResponse(body, status=status)
        response.headers["X-Request"] = str(time.monotonic_ns())
        return response

    request = RequestFactory().get("/")
    with hearing(hooks.Audited) as heard:
        seen = [page(request).content for _ in range(2)]

    assert seen == [b"old", b"old"]
    assert [event.result for event in heard] == [result]


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def nobody() -> None:
    """Name no tenant, as a project's callable does outside of its requests."""


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "DELAYS", (0.02, 0.05))


@pytest.mark.usefixtures("_hasty")
def test_a_mismatch_is_looked_at_again(alias: str, call: Call) -> None:
    source = Source("old", "new")
    call(engine.get_or_set, spec_of(alias), call.producer(source))

    with hearing(hooks.Audited) as heard:
        call(engine.get_or_set, spec_of(alias), call.producer(source))
        wait_for(lambda: len(heard) == 3)

    assert [(event.result, event.seconds) for event in heard] == [
        ("mismatch", 0),
        ("mismatch", 0.02),
        ("mismatch", 0.05),
    ]


@pytest.mark.usefixtures("_hasty")
def test_it_is_looked_at_as_the_same_tenant_and_in_the_same_language(alias: str, settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "TENANT": "tests.test_auditing.nobody"}
    seen: list[tuple[str, str, str]] = []

    def produce() -> int:
        seen.append((threading.current_thread().name, tenants.current(), translation.get_language()))
        return min(len(seen), 2)

    with tenants.tenant("acme"), translation.override("nl"):
        engine.get_or_set(spec_of(alias), produce)
        engine.get_or_set(spec_of(alias), produce)
    wait_for(lambda: seen[-1][0] == "cachekit-audit")

    assert seen[-1] == ("cachekit-audit", "acme", "nl")


def test_a_mismatch_is_written_down_once_with_what_was_invalidated_and_without_its_value(
    alias: str, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source("the old value", "the new value", tags=("shop.product#1",))
    invalidate("shop.product#1", why="import", by="ana", alias=alias)
    call(engine.get_or_set, spec_of(alias), call.producer(source))
    invalidate("shop.product#2", why="price", by="bo", alias=alias)

    with caplog.at_level(logging.WARNING, "cachekit.audit"):
        for _ in range(3):
            call(engine.get_or_set, spec_of(alias), call.producer(source))
        wait_for(lambda: bool(caplog.records))

    (line,) = [record.getMessage() for record in caplog.records if record.name == "cachekit.audit"]
    assert "function 'thing' differs from the database (audit)" in line
    assert "depends on shop.product (1 rows)" in line
    assert "import by ana: shop.product#1 shop.product (before it was computed)" in line
    assert "price by bo: shop.product#2 shop.product (same table, nothing it depends on)" in line
    assert "value" not in line


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("mend", ["invalidated", "right again"])
def test_a_mismatch_that_is_mended_is_counted_so(alias: str, mend: str) -> None:
    source = Source("old", "new", "new", "old" if mend == "right again" else "new", tags=("prices",))
    spec = spec_of(alias)
    engine.get_or_set(spec, source)

    def told(_: Suspect) -> None:
        if mend == "invalidated":
            invalidate("prices")

    with hearing(hooks.Audited) as heard:
        hooks.unsubscribe(Suspect, suspects.watch)
        hooks.subscribe(Suspect, told)  # before it is looked at again, however soon that is
        hooks.subscribe(Suspect, suspects.watch)
        try:
            engine.get_or_set(spec, source)
            wait_for(lambda: len(heard) == 2)
        finally:
            hooks.unsubscribe(Suspect, told)

    assert [(event.result, event.seconds) for event in heard] == [("mismatch", 0), ("mended", 0.02)]


@pytest.mark.usefixtures("_hasty")
def test_nines_are_counted_by_door(alias: str) -> None:
    stats.forget()
    for name, values in {"wrong": ["old", "new"], **{f"right {n}": ["old"] for n in range(9)}}.items():
        source = Source(*values)
        for _ in range(2):
            engine.get_or_set(spec_of(alias, name), source)
    stats.flush()

    found = consistency.checked(alias, "1h")["audit", "function"]

    assert (found.compared, found.mismatches, found.nines) == (10, 1, 1.0)
    assert stats.totals(alias, "1h").hit == 10
