"""What invalidated a tag or an entry, when, why and by whom: in Python and from the shell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from cachekit import engine, hooks, invalidate, stats, tracing
from cachekit.core.entry import Verdict
from cachekit.hooks import Audited
from tests.making import Source, spec_of
from tests.zoo.builders import make_author

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return the exit code of a call, and what it printed or why it failed."""

    def run(*words: str) -> tuple[int, str]:
        try:
            call_command("cachekit", *words)
        except CommandError as error:
            return error.returncode, capsys.readouterr().out + str(error)
        return 0, capsys.readouterr().out

    return run


@pytest.fixture
def key(alias: str) -> str:
    """An entry that depends on row 3, computed after one invalidation of it and before another."""
    spec = spec_of(alias, tags=("shop.product#3",))
    invalidate("shop.product#3", why="import", by="ana", alias=alias)
    engine.get_or_set(spec, Source("value"))
    invalidate("shop.product#4", why="price", by="bo", alias=alias)
    invalidate("homepage", why="elsewhere", alias=alias)
    return spec.key


def test_an_entry_is_traced_through_its_own_tags_and_those_beside(alias: str, key: str) -> None:
    fresh = tracing.of_key(alias, key)
    invalidate("shop.product#3", why="write", by="default", alias=alias)
    stale = tracing.of_key(alias, key)

    assert fresh is not None
    assert stale is not None
    assert (fresh.verdict, stale.verdict) == (Verdict.FRESH, Verdict.STALE)
    assert [(one.event.why, one.touches, one.is_later) for one in stale.touches] == [
        ("write", True, True),
        ("price", False, True),
        ("import", True, False),
    ]


@pytest.mark.parametrize(("tag", "told"), [("shop.product", 3), ("shop.product#3", 2), ("homepage", 2), ("*", 1)])
def test_a_tag_is_traced_through_what_stands_above_it(alias: str, tag: str, told: int, key: str) -> None:
    invalidate("*", why="purge", alias=alias)

    assert len(tracing.of_tag(alias, tag)) == told


@pytest.mark.django_db(transaction=True)
def test_a_commit_is_told_once(alias: str) -> None:
    make_author(name="Ada")

    (touch,) = tracing.of_tag(alias, "zoo.author")

    assert (touch.event.why, touch.event.by) == ("write", "default")


def test_nobody_is_no_entry(alias: str) -> None:
    assert tracing.of_key(alias, "ck:e:function:nobody") is None


def test_the_shell_tells_of_a_key(run: Run, alias: str, key: str) -> None:
    invalidate("shop.product#3", why="write", by="default", alias=alias)

    code, said = run("trace", key, "--cache", alias)

    assert code == 0
    assert said.startswith(f"{key} in cache '{alias}': stale, computed at 2")
    assert "write by default: shop.product#3 shop.product (made it stale)" in said
    assert "import by ana: shop.product#3 shop.product (before it was computed)" in said


def test_the_shell_tells_of_a_tag_in_every_cache(run: Run, settings: Any) -> None:
    settings.CACHES = {name: settings.CACHES[name] for name in ("default", "memory")}
    invalidate("homepage", why="import", by="ana")

    code, said = run("trace", "homepage")

    assert code == 0
    assert said.count("import by ana: homepage") == 2


@pytest.mark.parametrize("words", [("two words",), ("homepage", "--cache", "nobody")])
def test_what_cannot_be_traced_is_wrong_use(run: Run, words: tuple[str, ...]) -> None:
    assert run("trace", *words)[0] == 2


def test_a_login_is_no_line_of_a_trace(run: Run, alias: str) -> None:
    invalidate("sessions.session#abcdefabcdef", alias=alias)

    assert "abcdef" not in run("trace", "sessions.session", "--cache", alias)[1]


@pytest.mark.django_db(databases=["default", "other"])
def test_status_tells_of_nines_and_fails_where_a_mismatch_stays(run: Run, settings: Any) -> None:
    settings.CACHES = {name: settings.CACHES[name] for name in ("default", "memory")}
    stats.forget()
    for result, times in {"match": 99, "mismatch": 1}.items():
        for _ in range(times):
            hooks.tell(Audited("default", "view", "shop.home", result, 0))
    stats.flush()
    before = run("status")
    hooks.tell(Audited("default", "view", "shop.home", "mismatch", 60))
    stats.flush()
    after = run("status")

    assert before[0] == 0
    assert "default: audit of door view, 100 compared, 1 differed, 2.0 nines" in before[1]
    assert after[0] == 1
    assert "1 values of door view still differed from the database after 60 s" in after[1]
