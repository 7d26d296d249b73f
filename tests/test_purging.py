from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import caches
from django.core.exceptions import ValidationError

from cachekit import browser, cached, purging
from cachekit.purging import Preview, Purged, Target, preview, purge, target
from cachekit.stores import store_for
from tests.test_browser import everything, fill


def test_a_key_goes_and_no_other(alias: str) -> None:
    fill(alias, 3)
    raw = everything(alias)[1]
    chosen = target(alias, "key", raw.decode())

    assert preview(chosen) == Preview(1, [raw], 1, complete=True)
    assert purge(chosen, "ana") == Purged(1, complete=True)

    assert raw not in everything(alias)
    assert len(everything(alias)) == 2


def test_a_pattern_takes_what_matches(alias: str) -> None:
    fill(alias, 7, "red")
    fill(alias, 5, "blue")
    chosen = target(alias, "pattern", "*red*")

    shown = preview(chosen)
    done = purge(chosen, "ana")

    assert (shown.found, shown.complete) == (7, True)
    assert done == Purged(7, complete=True)
    assert len(everything(alias)) == 5


def test_a_pattern_takes_values_of_caches_too() -> None:
    caches["default"].set_many({"shop:1": 1, "shop:2": 2, "blog:1": 3})

    done = purge(target("default", "pattern", "shop:*"), "ana")

    assert done == Purged(2, complete=True)
    assert caches["default"].get("blog:1") == 3


def test_a_pattern_never_leaves_the_prefix() -> None:
    store: Any = store_for("default")
    store.client.mset({"theirs": 1, store.slot_key("wb:mine"): 1})

    done = purge(target("default", "pattern", "*"), "ana")

    assert done.removed == 0
    assert store.client.exists("theirs", store.slot_key("wb:mine")) == 2


def test_many_keys_go_in_batches() -> None:
    store: Any = store_for("default")
    store.client.mset({store.key("e", f"n{number}"): 1 for number in range(2_300)})
    store.client.config_resetstat()

    done = purge(target("default", "pattern", "n*"), "ana")

    assert done == Purged(2_300, complete=True)
    assert store.client.info("commandstats")["cmdstat_unlink"]["calls"] >= 5


def test_a_purge_that_runs_out_of_time_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = store_for("default")
    store.client.mset({store.key("e", f"n{number}"): 1 for number in range(5_000)})
    monkeypatch.setattr(purging, "WORK", 0)

    done = purge(target("default", "pattern", "n*"), "ana")

    assert not done.complete
    assert done.removed is not None
    assert 0 < done.removed < 5_000


def test_a_tag_makes_stale_what_depends_on_it(alias: str) -> None:
    numbers = iter(range(10))

    @cached(timeout=60, alias=alias, tags=("homepage",))
    def shown() -> int:
        return next(numbers)

    @cached(timeout=60, alias=alias, tags=("elsewhere",))
    def other() -> int:
        return next(numbers)

    assert (shown(), other()) == (0, 1)
    chosen = target(alias, "tag", "homepage")

    assert preview(chosen).found == 1
    assert purge(chosen, "ana") == Purged(None, complete=True)

    assert (shown(), other()) == (2, 1)


def test_an_entry_of_many_tags_is_counted_too(alias: str) -> None:
    fill(alias, 2, "k", *(f"tag{number}" for number in range(2_000)))

    assert preview(target(alias, "tag", "tag1234")).found == 2


@pytest.mark.django_db(transaction=True)
def test_a_model_makes_stale_what_was_computed_from_its_rows(alias: str) -> None:
    from tests.zoo.models import Author

    Author.objects.create(name="Ann")
    numbers = iter(range(10))

    @cached(timeout=60, alias=alias)
    def names() -> tuple[int, list[str]]:
        return next(numbers), [author.name for author in Author.objects.all()]

    names()
    chosen = target(alias, "model", "zoo.Author")

    assert preview(chosen).found == 1
    purge(chosen, "ana")

    assert names() == (1, ["Ann"])


@pytest.mark.parametrize(
    ("by", "what", "message"),
    [
        ("key", "nothing", "There is no key of this name"),
        ("pattern", "shop", "A pattern has a \\*"),
        ("tag", "two words", "white space"),
        ("model", "shop.Nothing", "There is no model"),
        ("model", "nonsense", "There is no model"),
        ("everything", "*", "Choose what to purge"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_cure(by: str, what: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        target("default", by, what)


def test_a_target_reads_as_it_was_meant() -> None:
    assert Target("default", "key", browser.token_of(b"a\nb")).text == r"a\nb"
    assert Target("default", "tag", "homepage").text == "homepage"
