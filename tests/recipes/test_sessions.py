"""Which sessions survive the loss of the cache, and which come back though they have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from cachekit.contrib.sessions import SessionStore
from tests.patience import until
from tests.recipes import sessions
from tests.servers import Valkey
from tests.test_races import in_thread
from tests.twins import Call

pytestmark = pytest.mark.django_db(transaction=True)

OURS = "cachekit.contrib.sessions"
DJANGOS = "django.contrib.sessions.backends.cached_db"
IN_THE_CACHE = "django.contrib.sessions.backends.cache"


def who(request: HttpRequest) -> HttpResponse:
    """Say who is signed in."""
    return HttpResponse(request.user.get_username() or "nobody")


urlpatterns = [path("who/", who)]


@pytest.fixture
def signed_in(settings: Any) -> Callable[[str], Client]:
    """`signed_in(engine)` is a browser with a session of that engine."""
    settings.ROOT_URLCONF = __name__

    def sign_in(engine: str) -> Client:
        settings.SESSION_ENGINE = engine
        client = Client()
        user, _ = User.objects.get_or_create(username="ada")
        client.force_login(user)
        assert seen(client) == "ada"
        return client

    return sign_in


def seen(client: Client) -> str:
    """Return who the site takes a browser for."""
    return client.get("/who/").content.decode()


SURVIVES = pytest.mark.parametrize(
    ("engine", "after"), [(IN_THE_CACHE, "nobody"), (DJANGOS, "ada"), (OURS, "ada")], ids=["cache", "cached_db", "ours"]
)


@SURVIVES
def test_who_is_signed_in_after_the_cache_was_lost(
    engine: str, after: str, signed_in: Any, own_valkey: Valkey, use_cache: Any
) -> None:
    use_cache(own_valkey.url)
    client = signed_in(engine)

    own_valkey.kill()
    assert seen(client) == after
    own_valkey.start()
    assert [seen(client), seen(client)] == [after] * 2


@SURVIVES
def test_who_is_signed_in_after_the_cache_was_cleared(engine: str, after: str, signed_in: Any) -> None:
    client = signed_in(engine)

    caches["default"].clear()

    assert seen(client) == after


@contextmanager
def meanwhile(deed: Callable[[], object]) -> Iterator[None]:
    """Have something done elsewhere right after the block has read a session's row."""
    deeds = [deed]

    def execute(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        found = run(sql, params, many, context)
        if sql.startswith("SELECT") and "django_session" in sql and deeds:
            in_thread(deeds.pop())
        return found

    with connection.execute_wrapper(execute):
        yield
    assert not deeds


def store_of(engine: str, key: str | None = None) -> Any:
    return import_module(engine).SessionStore(key)


def started(engine: str, **data: Any) -> str:
    """Return the key of a new session that no cache holds."""
    store = store_of(engine)
    store.update(data)
    store.create()
    store.save()
    caches["default"].clear()
    return str(store.session_key)


def answers() -> bool:
    """Tell whether the cache takes values again."""
    caches["default"].set("probe", 1)
    return bool(caches["default"].get("probe"))


@pytest.mark.parametrize(("engine", "comes_back"), [(DJANGOS, True), (OURS, False)], ids=["cached_db", "ours"])
def test_a_session_that_ends_while_it_is_read(engine: str, comes_back: bool) -> None:
    key = started(engine, user=1)

    with meanwhile(lambda: store_of(engine, key).delete()):
        store_of(engine, key).load()

    assert store_of(engine, key).load() == ({"user": 1} if comes_back else {})


@pytest.mark.parametrize(("engine", "comes_back"), [(DJANGOS, True), (OURS, False)], ids=["cached_db", "ours"])
def test_a_session_that_ends_while_the_cache_is_away(
    engine: str, comes_back: bool, own_valkey: Valkey, use_cache: Any
) -> None:
    use_cache(own_valkey.url)
    key = started(engine, user=1)
    store_of(engine, key).load()

    own_valkey.say("SAVE")
    own_valkey.kill()
    store_of(engine, key).delete()
    own_valkey.start()
    until(answers)

    assert [store_of(engine, key).load() for _ in range(2)] == [{"user": 1} if comes_back else {}] * 2


def test_a_session_is_read_once_and_again_after_each_write(call: Call, django_assert_num_queries: Any) -> None:
    key, other = started(OURS, user=1), started(OURS, user=2)

    assert call(SessionStore(key).load) == {"user": 1}
    store = SessionStore(other)
    store["user"] = 3
    store.save()
    assert call(SessionStore("nobodys-session").load) == {}
    with django_assert_num_queries(0):
        assert call(SessionStore(key).load) == {"user": 1}
        assert call(SessionStore("nobodys-session").load) == {}
    assert call(SessionStore(other).load) == {"user": 3}
    SessionStore(other).delete()
    assert call(SessionStore(other).load) == {}
    assert SessionStore(other).exists(key)


def test_a_session_that_has_expired_is_over_though_it_is_kept() -> None:
    store = SessionStore(started(OURS, user=1))
    store.set_expiry(3600)
    store.save()
    assert SessionStore(store.session_key).load()["user"] == 1

    row = SessionStore(store.session_key)._get_session_from_db()
    passed = SessionStore(store.session_key)

    assert passed._standing(row._replace(expire_date=row.expire_date.replace(year=2001))) is None
    assert passed.session_key is None


def test_a_subclass_has_rules_of_its_own(settings: Any, django_assert_num_queries: Any) -> None:
    settings.CACHES = {**settings.CACHES, "sessions": {**settings.CACHES["default"], "KEY_PREFIX": "sessions"}}
    key = started(OURS, user=1)

    assert sessions.SessionStore(key).load() == {"user": 1}
    caches["default"].clear()
    with django_assert_num_queries(0):
        assert sessions.SessionStore(key).load() == {"user": 1}
    SessionStore(key).delete()
    assert sessions.SessionStore(key).load() == {}
