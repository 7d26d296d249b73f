"""Fixtures for every test: servers, stores, sync and async, isolation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import settings

from tests.environment import Environment
from tests.patience import patient
from tests.servers import Missing, Postgres, RedisServer, Server, Valkey
from tests.twins import Call

if TYPE_CHECKING:
    from cachekit.stores import Store

ENVIRONMENT = pytest.StashKey[Environment]()
S = TypeVar("S", bound=Server)
QUIET = {"STATS_INTERVAL": 3600}
"""What CACHEKIT says where a test sets it and does not say: no thread of one test uses the server of the next."""
DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "live_server"}
settings.register_profile("busy", deadline=None)  # a machine that has others to serve too is no failure
settings.load_profile("busy")
collect_ignore = [] if find_spec("django_prometheus") else ["demo_site", "browser"]


def pytest_configure(config: pytest.Config) -> None:
    """Start this process's servers before Django reads its settings; a process that only hands out work needs none."""
    if config.getoption("numprocesses", None) or config.option.help or config.option.version:
        return
    if os.environ.get("DJANGO_SETTINGS_MODULE"):
        raise pytest.UsageError("unset DJANGO_SETTINGS_MODULE: the tests start their servers first, then set it")
    environment = Environment()
    config.stash[ENVIRONMENT] = environment
    environment.start()

    import django

    django.setup()

    from cachekit import conf
    from tests import emptying

    emptying.install()
    given = conf.given
    conf.given = lambda: {**QUIET, **given()}


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop this process's servers."""
    if environment := config.stash.get(ENVIRONMENT, None):
        environment.stop()
        del os.environ["DJANGO_SETTINGS_MODULE"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what reaches the database through a fixture like what says so, for `-m django_db`."""
    for item in items:
        if DATABASE_FIXTURES & set(getattr(item, "fixturenames", ())) and not item.get_closest_marker("django_db"):
            transactional = bool({"transactional_db", "live_server"} & set(getattr(item, "fixturenames", ())))
            item.add_marker(pytest.mark.django_db(transaction=transactional))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what only PostgreSQL can show where the tests run on SQLite."""
    if item.get_closest_marker("postgres") and item.config.stash[ENVIRONMENT].postgres is None:
        pytest.skip("needs PostgreSQL: CACHEKIT_TEST_DATABASE=postgres")


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Leave the names alone: each process has its own folder and server already."""


@pytest.fixture(scope="session")
def environment(request: pytest.FixtureRequest) -> Environment:
    """The servers of this pytest process."""
    return request.config.stash[ENVIRONMENT]


@pytest.fixture(autouse=True)
def _isolation(environment: Environment) -> Iterator[None]:
    """Give every test an empty Valkey, empty memory and a process that remembers nothing."""
    _forget()
    environment.wipe()
    yield
    _forget()


def _forget() -> None:
    from cachekit import testing

    testing.reset()


@pytest.fixture(scope="session")
def valkey(environment: Environment) -> Valkey:
    """The session's Valkey, behind alias `default`; a test may pause it (`with valkey.paused()`), never stop it."""
    return environment.valkey


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A Valkey for this test alone, which may kill and restart it."""
    with Valkey() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The system's Redis, for what differs from Valkey."""
    yield from _serve(RedisServer)


@pytest.fixture(scope="session")
def postgres(environment: Environment) -> Iterator[Postgres]:
    """The PostgreSQL behind alias `default`, or one beside it where the tests run on SQLite."""
    if environment.postgres:
        yield environment.postgres
        return
    yield from _serve(Postgres)


def _serve(kind: type[S]) -> Iterator[S]:
    try:
        server = kind()
    except Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Leave databases to their server and folder, which end with this process: threads may hold connections."""
    return True


@pytest.fixture
def use_cache(settings: Any) -> Callable[..., None]:
    """`use_cache(url, alias="default", **entries)` points an alias at another server for one test."""

    def use(url: str, alias: str = "default", **entries: Any) -> None:
        entries["OPTIONS"] = patient(entries.get("OPTIONS", {}))
        former = settings.CACHES[alias]
        settings.CACHES = {**settings.CACHES, alias: {**former, "LOCATION": url, **entries}}
        _forget()

    return use


@pytest.fixture(params=["memory", "redis"])
def alias(request: pytest.FixtureRequest) -> str:
    """The alias of a cache in memory, then of one on the session's Valkey."""
    return {"memory": "memory", "redis": "default"}[request.param]


@pytest.fixture
def store(alias: str) -> Store:
    """The store of `alias`: a memory store, then a Redis store."""
    from cachekit.stores import store_for

    return store_for(alias)


@pytest.fixture(params=["called", "awaited"])
def call(request: pytest.FixtureRequest) -> Call:
    """`call(function, …)` runs a function, then its async twin; see `tests.twins`."""
    return Call(awaited=request.param == "awaited")
