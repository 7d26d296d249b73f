"""In shadow mode whatever a visitor sees was computed just now, and what the cache would have done is counted."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import RequestFactory

from cachekit import cached, cached_view, consistency, engine, hooks, invalidate, stats
from cachekit.stores import store_for
from tests.making import Source, hearing, spec_of
from tests.test_auditing import past_cachekit
from tests.twins import Call
from tests.zoo.builders import make_author
from tests.zoo.models import Author


@pytest.fixture
def shadow(settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "SHADOW": True}


def reads(call: Call, alias: str, source: Source, times: int = 2, **policy: Any) -> tuple[list[Any], list[str]]:
    """Return what visitors got, and what the shadow says of it."""
    with hearing(hooks.Shadowed) as heard:
        got = [call(engine.get_or_set, spec_of(alias, **policy), call.producer(source)) for _ in range(times)]
    return got, [event.result for event in heard]


@pytest.mark.usefixtures("shadow")
@pytest.mark.parametrize(
    ("values", "got", "results"),
    [
        (["same"], ["same"] * 3, ["would-miss", "match", "match"]),
        (["old", "new"], ["old", "new", "new"], ["would-miss", "mismatch", "mismatch"]),
        (["old", "a", "b", "c"], ["old", "a", "c"], ["would-miss", "unsteady", "mismatch"]),
    ],
)
def test_everybody_gets_what_was_computed_just_now(
    alias: str, call: Call, values: list[str], got: list[str], results: list[str]
) -> None:
    assert reads(call, alias, Source(*values), 3) == (got, results)


@pytest.mark.usefixtures("shadow")
def test_lookups_are_counted_as_they_would_have_ended(alias: str, call: Call) -> None:
    source = Source("same", tags=("prices",))

    with hearing(hooks.Lookup) as asked:
        reads(call, alias, source)
        invalidate("prices")
        _, results = reads(call, alias, source)

    assert [event.result for event in asked] == ["miss", "hit", "stale", "hit"]
    assert results == ["would-miss", "match"]


@pytest.mark.usefixtures("shadow")
def test_what_was_invalidated_while_it_was_computed_is_no_mismatch(alias: str, call: Call) -> None:
    source = Source("old", "new", tags=("prices",))
    reads(call, alias, source, 1)
    source.before = lambda: invalidate("prices")

    assert reads(call, alias, source, 1) == (["new"], ["raced"])


@pytest.mark.usefixtures("shadow")
def test_a_hit_would_not_have_stored_anything(alias: str, call: Call) -> None:
    spec = spec_of(alias)

    reads(call, alias, Source("old", "new"), 3)

    assert spec.codec.loads(store_for(alias).load(spec.key).payload) == "old"


@pytest.mark.usefixtures("shadow")
def test_audit_false_is_served_and_not_compared(alias: str, call: Call) -> None:
    assert reads(call, alias, Source("old", "new"), audit=False) == (["old", "new"], ["would-miss", "skipped"])


@pytest.mark.usefixtures("shadow")
def test_an_error_is_the_visitors_and_what_is_gone_is_a_mismatch(alias: str, call: Call) -> None:
    source = Source("old", Http404(), ValueError("trouble"))
    reads(call, alias, source, 1)

    with hearing(hooks.Shadowed) as heard:
        for error in (Http404, ValueError):
            with pytest.raises(error):
                call(engine.get_or_set, spec_of(alias), call.producer(source))

    assert [event.result for event in heard] == ["mismatch", "skipped"]


@pytest.mark.parametrize("named", ["alias", "door"])
def test_some_may_be_shadows_and_what_stands_inside_them_is_too(
    alias: str, call: Call, settings: Any, named: str
) -> None:
    inner, outer = Source("inner 1", "inner 2"), Source("other 1", "other 2")
    other = "memory" if alias == "default" else "default"
    settings.CACHEKIT = {**settings.CACHEKIT, "SHADOW": [alias] if named == "alias" else ["function"]}
    call(engine.get_or_set, spec_of(other, "inside"), call.producer(inner))

    def page() -> str:
        return str(engine.get_or_set(spec_of(other, "inside"), inner))

    assert call(engine.get_or_set, spec_of(alias, "page"), call.producer(page)) == "inner 2"
    if named == "alias":
        got = [call(engine.get_or_set, spec_of(other, "beside"), call.producer(outer)) for _ in range(2)]
        assert got == ["other 1", "other 1"]


@pytest.mark.usefixtures("shadow")
@pytest.mark.django_db(transaction=True)
def test_the_truth_is_served_over_a_lie_in_pages_fragments_and_queries(alias: str, caplog: Any) -> None:
    make_author(name="Ada")
    template = Template(
        f'{{% load cachekit %}}{{% cached 60 "names" alias="{alias}" %}}'
        "{% for author in authors %}{{ author.name }}{% endfor %}{% endcached %}"
    )

    @cached(60, name="names", alias=alias)
    def names() -> list[str]:
        return list(Author.objects.values_list("name", flat=True))

    @cached_view(60, alias=alias)
    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse(template.render(Context({"authors": Author.objects.all()})) + names()[0])

    request = RequestFactory().get("/")
    with hearing(hooks.Shadowed) as heard:
        before = [page(request).content for _ in range(2)]
        past_cachekit("UPDATE zoo_author SET name = 'Bo'")
        lied = [page(request).content, names()]
        invalidate(Author)
        after = [page(request).content for _ in range(2)]

    assert (before, lied, after) == ([b"AdaAda"] * 2, [b"BoBo", ["Bo"]], [b"BoBo"] * 2)
    assert [(event.door, event.result) for event in heard] == [
        *(door_misses := [("view", "would-miss"), ("fragment", "would-miss"), ("function", "would-miss")]),
        ("view", "match"),
        ("view", "mismatch"),
        ("function", "mismatch"),
        *door_misses,
        ("view", "match"),
    ]


@pytest.mark.usefixtures("shadow")
@pytest.mark.django_db(transaction=True)
def test_a_stored_page_depends_on_what_its_doors_depend_on(alias: str, call: Call) -> None:
    inner = Source("inner", tags=("read",))

    def page() -> Any:
        return engine.get_or_set(spec_of(alias, "inside", tags=("named",)), inner)

    def read() -> list[str]:
        with hearing(hooks.Shadowed) as heard:
            call(engine.get_or_set, spec_of(alias, "page"), call.producer(page))
        return [event.result for event in heard if event.name == "page"]

    engine.get_or_set(spec_of(alias, "inside", tags=("named",)), inner)
    seen = [read(), read()]
    for tag in ("read", "named"):
        invalidate(tag)
        seen += [read(), read()]

    assert seen == [["would-miss"], ["match"]] * 3


@pytest.mark.usefixtures("shadow")
@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_has_written_stores_nothing(alias: str) -> None:
    @cached(60, name="count", alias=alias)
    def count() -> int:
        return Author.objects.count()

    with hearing(hooks.Shadowed) as heard:
        with transaction.atomic():
            make_author(name="Ada")
            counts = [count(), count()]
        counts.append(count())

    assert counts == [1, 1, 1]
    assert [event.result for event in heard] == ["would-miss"]


@pytest.mark.usefixtures("shadow")
def test_with_the_server_away_everybody_is_served(use_cache: Any, call: Call) -> None:
    use_cache("redis://127.0.0.1:1/0")

    assert reads(call, "default", Source("one", "two")) == (["one", "two"], ["would-miss", "would-miss"])


@pytest.mark.usefixtures("shadow")
def test_mismatches_are_counted_and_written_down(alias: str, call: Call, caplog: pytest.LogCaptureFixture) -> None:
    stats.forget()
    with caplog.at_level(logging.WARNING, "cachekit.audit"):
        reads(call, alias, Source("old", "new"), 4)
        until = time.monotonic() + 20
        while not caplog.records and time.monotonic() < until:
            time.sleep(0.01)
    stats.flush()

    found = consistency.checked(alias, "1h")["shadow", "function"]

    assert (found.compared, found.mismatches, found.times("would-miss")) == (3, 3, 1)
    assert ["(shadow)" in record.getMessage() for record in caplog.records] == [True]
