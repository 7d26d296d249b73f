"""Invalidation: what each tag reaches, what it costs, and what happens to what a cache could not be told."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from cachekit import engine, hooks, invalidation, registry, stores
from cachekit.core.policy import Spec
from cachekit.core.steps import Invalidate
from cachekit.engine import get_or_set, invalidate
from cachekit.exceptions import ImproperStore, InvalidTag
from cachekit.stores import store_for
from tests.making import Source, hearing, spec_of
from tests.twins import Call
from tests.zoo.builders import make_book
from tests.zoo.models import Author, Book, Novel

ABOVE = {"*", "db:default", "zoo.book", "zoo.book#*", "zoo.book?*"}
REACH: dict[str, set[str]] = {
    "zoo.book": {*ABOVE, "zoo.book#1", "zoo.book#2", "zoo.book?status=draft"},
    "zoo.book#1": {"*", "db:default", "zoo.book", "zoo.book#*", "zoo.book#1"},
    "zoo.book?status=draft": {"*", "db:default", "zoo.book", "zoo.book?*", "zoo.book?status=draft"},
    "zoo.book@other": {"*", "db:other", "zoo.book@other"},
    "zoo.book@other#1": {"*", "db:other", "zoo.book@other"},
    "homepage": {"*", "homepage"},
    "user.1": {"*", "user.1"},
    "function:shop.top": {"*", "function:shop.top"},
    "function:shop.top#1": {"*", "function:shop.top#1"},
}
"""By dependency: the tags that reach it."""
TARGETS = sorted({target for reach in REACH.values() for target in reach} | {"zoo.author", "zoo.book#2", "user.2"})


@pytest.mark.parametrize("target", TARGETS)
def test_a_tag_reaches_what_lies_under_it_and_nothing_else(alias: str, target: str) -> None:
    for dependency in REACH:
        get_or_set(spec_of(alias, dependency), Source("old", tags=(dependency,)))

    assert invalidate(target, alias=alias)

    reached = {dependency for dependency in REACH if get_or_set(spec_of(alias, dependency), Source("new")) == "new"}
    # a table's rows and slices are reached through the table's own three tags
    assert reached == {dependency for dependency, reach in REACH.items() if target in reach | _named_table(dependency)}


def _named_table(dependency: str) -> set[str]:
    """`invalidate("zoo.book")` means the whole table: its rows and slices too."""
    table = dependency.partition("#")[0].partition("?")[0]
    return {table} if table.startswith("zoo.") else set()


def test_more_rows_than_an_entry_can_name_are_reached_by_each_of_them(alias: str) -> None:
    spec, source = spec_of(alias), Source("old", "new", "newer", tags=tuple(f"zoo.book#{n}" for n in range(33)))
    get_or_set(spec, source)

    invalidate("zoo.book#32", alias=alias)
    assert get_or_set(spec, source) == "new"
    invalidate("zoo.book#*", alias=alias)

    assert get_or_set(spec, source) == "newer"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("thing", ["instance", "model", "proxy", "queryset", "tag"])
def test_things_stand_for_their_tags(call: Call, alias: str, thing: str) -> None:
    book, other = make_book(), make_book()
    things: dict[str, Any] = {
        "instance": book,
        "model": Book,
        "proxy": Novel,
        "queryset": Book.objects.filter(pk=book.pk),
        "tag": f"zoo.book#{book.pk}",
    }
    mine, its = spec_of(alias, "mine"), spec_of(alias, "its")
    sources = [Source("old", "new", tags=(f"zoo.book#{one.pk}",)) for one in (book, other)]
    for spec, source in zip((mine, its), sources, strict=True):
        get_or_set(spec, source)

    if call.awaited and thing == "queryset":
        pytest.skip("querysets are named by model or instances where they cannot be evaluated")
    assert call(invalidate, things[thing], alias=alias)

    kept = "new" if thing in ("model", "proxy") else "old"
    assert [get_or_set(mine, sources[0]), get_or_set(its, sources[1])] == ["new", kept]


def test_invalidation_is_told(call: Call) -> None:
    with hearing(hooks.Invalidated) as told:
        call(invalidate, "homepage", "zoo.book#1", why="test", by="me", alias="memory")

    assert told == [hooks.Invalidated("memory", ("homepage", "zoo.book#1", "zoo.book"), "test", "me")]


def test_every_cache_is_told_unless_one_is_named(call: Call) -> None:
    specs = [spec_of("default"), spec_of("memory")]
    sources = [Source("old", "new", "newer", tags=("homepage",)) for _ in specs]

    def values() -> list[Any]:
        return [get_or_set(spec, source) for spec, source in zip(specs, sources, strict=True)]

    values()
    call(invalidate, "homepage", alias="memory")
    assert values() == ["old", "new"]
    call(invalidate, "homepage")

    assert values() == ["new", "newer"]


def test_nothing_to_invalidate_is_done_at_once(call: Call) -> None:
    with hearing(hooks.Invalidated) as told:
        assert call(invalidate)

    assert told == []


@pytest.mark.parametrize("thing", ["two words", "", 42, None, ["homepage"], "x" * 251])
def test_what_is_no_target_is_refused(call: Call, thing: Any) -> None:
    with pytest.raises(InvalidTag):
        call(invalidate, thing)


def test_an_unknown_alias_is_named(call: Call) -> None:
    with pytest.raises(ImproperStore, match="no alias 'typo'"):
        call(invalidate, "homepage", alias="typo")


def test_another_apps_broken_cache_is_no_concern_of_ours(settings: Any) -> None:
    settings.CACHES = {**settings.CACHES, "broken": {"BACKEND": "not.there.Cache"}, "odd": {}}

    assert invalidate("homepage", alias="default")
    assert set(stores.aliases()) <= set(settings.CACHES) - {"broken", "odd"}


def test_an_index_value_too_long_for_a_tag_still_reaches_its_slice(alias: str) -> None:
    title = "x" * 300

    field = Author._meta.get_field("name")
    tag = registry.slice_of("zoo.author", field, title)
    spec, source = spec_of(alias), Source("old", "new", tags=(tag,))
    get_or_set(spec, source)

    invalidate(tag, alias=alias)

    assert get_or_set(spec, source) == "new"
    assert tag != registry.slice_of("zoo.author", field, title + "y")


# What a cache that was away has not got


def away(spec: Spec) -> Invalidate:
    """Have one invalidation wait for the store of `spec`, as if it had been away."""
    step = Invalidate(("homepage",), "while away")
    invalidation._keep(spec.alias, step)
    return step


def test_what_was_missed_is_delivered_before_the_next_read(alias: str, call: Call) -> None:
    spec, source = spec_of(alias), Source("old", "new", tags=("homepage",))
    get_or_set(spec, source)

    with hearing(hooks.Invalidated) as told:
        step = away(spec)
        value = call(engine.get_or_set, spec, call.producer(source))

    assert value == "new"
    assert {event.tags for event in told} == {step.tags}  # perhaps twice: the courier is on its way too
    assert invalidation.pending(alias) == ()


def test_what_was_missed_is_delivered_with_the_next_invalidation(alias: str, call: Call) -> None:
    away(spec_of(alias))

    assert call(invalidate, "something-else", alias=alias)

    assert invalidation.pending(alias) == ()


def test_too_many_missed_invalidations_become_one_of_everything(alias: str) -> None:
    spec, source = spec_of(alias), Source("old", "new")
    get_or_set(spec, source)

    for _ in range(invalidation.MAX_WAITING + 1):
        away(spec)

    assert [step.tags for step in invalidation.pending(alias)] == [("*",)]
    assert get_or_set(spec, source) == "new"


def test_a_disabled_cache_is_still_told(alias: str) -> None:
    spec, source = spec_of(alias), Source("old", "new", tags=("homepage",))
    get_or_set(spec, source)

    if alias == "default":  # a memory store is emptied by a change of settings
        with override_settings(CACHEKIT={"ENABLED": False}):
            invalidate("homepage")
        assert store_for(alias).load(spec.key).newest > 0
