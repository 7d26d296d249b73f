"""After COMMIT nobody waits until intents are settled: they stand meanwhile, and what got lost is told again."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from cachekit.orm.transactions import committing
from cachekit.stores import store_for
from cachekit.stores.redis import RedisStore
from tests.orm.test_endings import answered, title
from tests.servers import Valkey
from tests.zoo.builders import make_book
from tests.zoo.models import Book

pytestmark = pytest.mark.django_db(transaction=True)
TAGS = ("zoo.book", "zoo.book#1")


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def redis_store() -> RedisStore:
    store = store_for("default")
    assert isinstance(store, RedisStore)
    return store


def settled(server: Valkey) -> int:
    return server.say("XRANGE {ck}:events - +").count("settled")


def test_a_commit_does_not_wait_until_its_intents_are_settled(
    own_valkey: Valkey, use_cache: Callable[..., None]
) -> None:
    use_cache(own_valkey.url)
    book = make_book("old")
    assert title(book.pk) == "old"

    committing(connection, ("zoo.book", f"zoo.book#{book.pk}"), own_valkey.pause)

    own_valkey.resume()
    assert title(book.pk) == "old"
    until(lambda: answered(book.pk) == "hit")


def test_who_wrote_reads_behind_what_it_has_posted() -> None:
    book = make_book("old")
    for name in ("new", "newer"):
        with transaction.atomic():
            book.title = name
            book.save()

        assert title(book.pk) == name
        assert answered(book.pk) == "hit"


def test_a_settling_that_was_not_carried_out_is_told_again(own_valkey: Valkey, use_cache: Callable[..., None]) -> None:
    use_cache(own_valkey.url)
    title(make_book("old").pk)
    before = settled(own_valkey)

    committing(connection, TAGS, lambda: own_valkey.say("SCRIPT FLUSH"))

    until(lambda: settled(own_valkey) > before)


def test_a_server_that_dies_in_mid_commit(own_valkey: Valkey, use_cache: Callable[..., None]) -> None:
    use_cache(own_valkey.url)
    book = make_book("old")
    assert title(book.pk) == "old"

    def commit() -> None:
        Book.objects.filter(pk=book.pk).update(title="new")
        own_valkey.kill()

    committing(connection, ("zoo.book", f"zoo.book#{book.pk}"), commit)
    own_valkey.start()

    assert title(book.pk) == "new"
    until(lambda: answered(book.pk) == "hit")


def test_where_points_may_be_evicted_a_writer_waits(own_valkey: Valkey, use_cache: Callable[..., None]) -> None:
    own_valkey.say("CONFIG SET maxmemory-policy allkeys-lru")
    use_cache(own_valkey.url)
    title(make_book("old").pk)

    committing(connection, TAGS, lambda: None)

    assert redis_store().evicts
    assert not redis_store().wire.owes


def test_where_nothing_is_evicted_it_does_not(
    own_valkey: Valkey, use_cache: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RedisStore, "hear", lambda self: False)  # what the courier does at its own times
    use_cache(own_valkey.url)
    title(make_book("old").pk)

    committing(connection, TAGS, own_valkey.pause)
    owes = redis_store().wire.owes
    own_valkey.resume()

    assert not redis_store().evicts
    assert owes
