"""A short transaction's intents go with its first write: they stand at its COMMIT, and nothing else is promised."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from cachekit import hooks
from cachekit.models import Outbox
from cachekit.orm import early
from cachekit.stores import store_for
from tests.orm.test_endings import answered, title
from tests.orm.test_settling import until
from tests.servers import Valkey
from tests.zoo.builders import make_book
from tests.zoo.models import Book

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every transaction for a short one, however slow the machine."""
    monkeypatch.setattr(early, "ENOUGH", 0)
    monkeypatch.setattr(early, "LASTS", 60)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the store is asked to do from now on."""
    store: Any = store_for("default")
    seen: list[str] = []

    def noting(name: str) -> Callable[..., Any]:
        real = getattr(store, name)

        def carry_out(step: Any, *rest: Any) -> Any:
            seen.append(f"{name} {type(step).__name__}")
            return real(step, *rest)

        return carry_out

    for name in ("do", "post", "promise"):
        monkeypatch.setattr(store, name, noting(name))
    return seen


def rewrite(pk: int, name: str) -> None:
    with transaction.atomic():
        Book.objects.filter(pk=pk).update(title=name)


def test_a_short_transaction_waits_for_no_intents(steps: list[str]) -> None:
    book = make_book("old")
    title(book.pk)
    steps.clear()

    rewrite(book.pk, "new")

    assert steps == ["promise Intend", "post Invalidate"]
    assert title(book.pk) == "new"


def test_entries_are_stale_from_the_write_on() -> None:
    book = make_book("old")
    title(book.pk)
    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="new")
        store_for("default").hear()

        assert store_for("default").load(title.key_for(book.pk)).newest > store_for("default").now()


def test_what_is_written_later_is_announced_before_the_commit(steps: list[str]) -> None:
    first, second = make_book("one"), make_book("two")
    steps.clear()

    with transaction.atomic():
        Book.objects.filter(pk=first.pk).update(title="new")
        Book.objects.filter(pk=second.pk).update(title="newer")

    assert steps == ["promise Intend", "do Intend", "post Invalidate"]
    assert (title(first.pk), title(second.pk)) == ("new", "newer")
    until(lambda: answered(second.pk) == "hit")


def test_intents_that_have_stood_for_long_are_announced_again(
    steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = make_book("old")
    steps.clear()
    monkeypatch.setattr(early, "LASTS", 0)

    rewrite(book.pk, "new")

    assert steps == ["promise Intend", "do Intend", "post Invalidate"]


def test_a_rollback_takes_them_back() -> None:
    book = make_book("old")
    title(book.pk)

    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012 - the block is the transaction
        Book.objects.filter(pk=book.pk).update(title="new")
        raise ZeroDivisionError

    assert title(book.pk) == "old"
    assert answered(book.pk) == "hit"


def test_a_lost_connection_takes_them_back() -> None:
    book = make_book("old")
    title(book.pk)

    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012 - as above
        Book.objects.filter(pk=book.pk).update(title="new")
        connection.close()
        raise ZeroDivisionError

    assert title(book.pk) == "old"
    assert answered(book.pk) == "hit"


def test_a_server_that_goes_between_write_and_commit_is_noticed(
    own_valkey: Valkey, use_cache: Callable[..., None]
) -> None:
    use_cache(own_valkey.url)
    book = make_book("old")
    title(book.pk)

    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="new")
        own_valkey.restart()

    assert title(book.pk) == "new"
    until(lambda: answered(book.pk) == "hit")


def test_scripts_that_the_server_has_forgotten_are_sent_again(
    own_valkey: Valkey, use_cache: Callable[..., None], steps: list[str]
) -> None:
    use_cache(own_valkey.url)
    book = make_book("old")
    title(book.pk)
    own_valkey.say("SCRIPT FLUSH")

    rewrite(book.pk, "new")

    assert "intent" in own_valkey.say("XRANGE {ck}:events - +")
    assert title(book.pk) == "new"


def test_a_killed_connection_is_noticed(own_valkey: Valkey, use_cache: Callable[..., None]) -> None:
    use_cache(own_valkey.url)
    book = make_book("old")
    title(book.pk)
    before = own_valkey.say("XRANGE {ck}:events - +").count("intent")

    with transaction.atomic():
        Book.objects.filter(pk=book.pk).update(title="new")
        own_valkey.say("CLIENT KILL TYPE normal SKIPME yes")

    assert own_valkey.say("XRANGE {ck}:events - +").count("intent") > before
    assert title(book.pk) == "new"
    until(lambda: answered(book.pk) == "hit")


class TestCounting:
    """Which transactions are taken for short ones."""

    @pytest.fixture(autouse=True)
    def by_the_rule(self, always: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(early, "ENOUGH", 3)
        monkeypatch.setattr(early, "SHORT", 60)

    def test_those_after_three_short_ones(self, steps: list[str]) -> None:
        book = make_book("old")
        early.forget()
        steps.clear()

        for name in "abcd":
            rewrite(book.pk, name)

        assert steps == [*["do Intend", "post Invalidate"] * 3, "promise Intend", "post Invalidate"]

    @pytest.mark.parametrize("spoils", ["length", "breadth"])
    def test_not_those_after_a_long_or_broad_one(
        self, spoils: str, steps: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        book, other = make_book("old"), make_book("other")
        for name in "abc":
            rewrite(book.pk, name)

        with monkeypatch.context() as patched:
            if spoils == "length":
                patched.setattr(early, "SHORT", 0)
            with transaction.atomic():
                Book.objects.filter(pk=book.pk).update(title="d")
                if spoils == "breadth":
                    Book.objects.filter(pk=other.pk).update(title="d")
        steps.clear()
        rewrite(book.pk, "e")

        assert steps == ["do Intend", "post Invalidate"]


@pytest.mark.django_db
class TestInATestCase:
    """Its transaction never commits, so nothing may stand until its end."""

    def test_nothing_is_sent_early(self, steps: list[str]) -> None:
        book = make_book("old")
        heard: list[Any] = []
        hooks.subscribe(hooks.Invalidated, heard.append)
        Book.objects.filter(pk=book.pk).update(title="new")
        hooks.unsubscribe(hooks.Invalidated, heard.append)

        assert steps == []
        assert heard == []


@pytest.mark.parametrize("in_advance", [True, False])
def test_a_writer_waits_before_and_after_its_commit_for_a_server_that_hangs(
    in_advance: bool, own_valkey: Valkey, use_cache: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_cache(own_valkey.url, OPTIONS={"SOCKET_TIMEOUT": 0.5, "SOCKET_CONNECT_TIMEOUT": 0.5})
    if not in_advance:
        monkeypatch.setattr(early, "ENOUGH", math.inf)
    book, store = make_book("old"), store_for("default")
    title(book.pk)
    failed, waited = store.failed, []  # type: ignore[attr-defined]

    def failing(error: Exception) -> None:
        waited.append(threading.current_thread().name)
        failed(error)

    monkeypatch.setattr(store, "failed", failing)
    with own_valkey.paused():
        rewrite(book.pk, "new")

        assert waited.count(threading.current_thread().name) == 2, (
            "once more after the COMMIT, for who answers by then must know"
        )
        assert Outbox.objects.count() == 1

    until(lambda: answered(book.pk) == "hit")
    assert title(book.pk) == "new"
