"""Which aliases have a store, and how a cache server's address is read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from cachekit import stores
from cachekit.exceptions import ImproperStore
from cachekit.stores.connections import masked, translated
from cachekit.stores.redis import RedisStore


def test_aliases_are_those_with_our_backends_in_their_order(settings: Any) -> None:
    assert stores.aliases() == ["default", "memory", "fake"]

    settings.CACHES = {"memory": settings.CACHES["memory"]}

    assert stores.aliases() == ["memory"]


def test_threads_share_a_store() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: stores.store_for("default"), range(50)))

    assert len({id(store) for store in found}) == 1


def test_settings_that_change_are_read_anew(settings: Any) -> None:
    before = stores.store_for("default")
    settings.CACHES = {**settings.CACHES, "default": {**settings.CACHES["default"], "KEY_PREFIX": "other"}}

    after = stores.store_for("default")

    assert before is not after
    assert after.key("e", "k") == "other:ck:e:k"
    assert after.slot_key("root") == "{other:ck}:root"


@pytest.mark.parametrize(
    ("alias", "said"), [("typo", "no alias 'typo'"), ("plain", "Set its BACKEND to 'cachekit.backends.RedisCache'")]
)
def test_an_alias_that_is_not_ours_says_what_to_do(alias: str, said: str) -> None:
    with pytest.raises(ImproperStore, match=said):
        stores.store_for(alias)


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("redis://localhost:6379/1", "redis://localhost:6379/1"),
        ("rediss://u:p@host/0", "rediss://u:p@host/0"),
        ("valkey://localhost", "redis://localhost"),
        ("valkeys://localhost", "rediss://localhost"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
    ],
)
def test_addresses_are_translated(url: str, read: str) -> None:
    assert translated(url) == read


def test_an_address_without_a_scheme_is_refused_without_its_password() -> None:
    with pytest.raises(ImproperlyConfigured, match="redis://localhost:6379/0") as refusal:
        translated("user:secret@host:6379")

    assert "secret" not in str(refusal.value)


def test_passwords_are_masked() -> None:
    assert masked("redis://u:secret@host/0") == "redis://u:***@host/0"
    assert masked("redis://:secret@host/0") == "redis://:***@host/0"
    assert masked("redis://host/0") == "redis://host/0"


def test_pools_wait_briefly_and_do_not_retry(settings: Any) -> None:
    options: dict[str, Any] = settings.CACHES["default"]
    settings.CACHES = {**settings.CACHES, "default": {**options, "OPTIONS": {}}}
    store = stores.store_for("default")
    assert isinstance(store, RedisStore)

    given = store.pool.connection_kwargs

    assert (given["socket_connect_timeout"], given["socket_timeout"]) == (0.1, 0.25)
    assert given["retry"]._retries == 0


def test_options_make_pools_of_their_own(settings: Any) -> None:
    options: dict[str, Any] = settings.CACHES["default"]
    other = {**options, "OPTIONS": {"SOCKET_TIMEOUT": 1}}
    settings.CACHES = {**settings.CACHES, "twin": options, "other": other}
    default, twin, third = (stores.store_for(alias) for alias in ("default", "twin", "other"))

    assert isinstance(default, RedisStore)
    assert isinstance(twin, RedisStore)
    assert isinstance(third, RedisStore)
    assert default.pool is twin.pool
    assert third.pool is not default.pool
