"""Each system check notices its trouble and says what to type; `cachekit.E001` and so on are their names."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import CheckMessage

from cachekit import checks, registry, stores
from tests.zoo.models import Author

MEMORY = {"BACKEND": "cachekit.backends.MemoryCache"}


def ids(messages: list[CheckMessage]) -> list[str]:
    return [str(message.id) for message in messages]


def test_good_settings_are_fine(settings: Any) -> None:
    settings.CACHEKIT = {"TIMEOUT": 60, "ALIAS": "memory", "ENABLED": True, "JITTER": 0}

    assert checks.check_settings(app_configs=None) == []
    assert checks.check_alias(app_configs=None) == []
    assert checks.check_indexes(app_configs=None) == []


def test_settings_that_are_no_dict_are_told_once(settings: Any) -> None:
    settings.CACHEKIT = ["TIMEOUT"]

    every = (checks.check_settings, checks.check_models, checks.check_outbox)
    found = [one for check in every for one in check(app_configs=None)]

    assert ids(found) == ["cachekit.E002"]


def test_e001_an_unknown_name_brings_the_closest_to_mind(settings: Any) -> None:
    settings.CACHEKIT = {"TIMEUOT": 60}

    (found,) = checks.check_settings(app_configs=None)

    assert found.id == "cachekit.E001"
    assert found.hint == "Did you mean 'TIMEOUT'?"


def test_e001_a_name_like_no_other_lists_them_all(settings: Any) -> None:
    settings.CACHEKIT = {"Q": 1}

    (found,) = checks.check_settings(app_configs=None)

    assert found.hint is not None
    assert "ALIAS, AUDIT, BREAKER_FAILURES" in found.hint


@pytest.mark.parametrize(
    "given",
    [
        ["TIMEOUT"],
        {"TIMEOUT": "60"},
        {"TIMEOUT": None},
        {"TIMEOUT": -1},
        {"TIMEOUT": True},
        {"ENABLED": 1},
        {"BREAKER_FAILURES": 1.5},
        {"ALIAS": b"default"},
        {"NEAR": "yes"},
    ],
)
def test_e002_a_wrong_type_names_the_value_and_the_default(settings: Any, given: Any) -> None:
    settings.CACHEKIT = given

    found = checks.check_settings(app_configs=None)

    assert ids(found) == ["cachekit.E002"]
    assert found[0].hint


@pytest.mark.parametrize(
    ("caches", "said"),
    [
        ({"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}, "cachekit.backends.RedisCache"),
        ({"default": MEMORY}, "CACHES has no alias 'pages' (it has: default)"),
    ],
)
def test_e003_the_doors_need_a_cache_of_ours(settings: Any, caches: dict[str, Any], said: str) -> None:
    settings.CACHES = caches
    settings.CACHEKIT = {"ALIAS": "pages" if "pages" in said else "default"}
    stores.forget()

    (found,) = checks.check_alias(app_configs=None)

    assert found.id == "cachekit.E003"
    assert said in found.msg


def test_e004_a_cache_that_cannot_be_set_up_says_why(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "cachekit.backends.RedisCache", "LOCATION": "127.0.0.1:6379"}}
    stores.forget()

    (found,) = checks.check_alias(app_configs=None)

    assert found.id == "cachekit.E004"
    assert "redis://" in found.msg


def test_e005_an_index_that_is_no_column_lists_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.indexes_of.cache_clear()
    monkeypatch.setattr(Author, "CACHEKIT_INDEXES", ("nmae",), raising=False)

    found = checks.check_indexes(app_configs=None)
    registry.indexes_of.cache_clear()

    assert ids(found) == ["cachekit.E005"]
    assert "'nmae'" in found[0].msg
    assert found[0].hint == "Columns of Author: id, name, email."


def test_w001_the_namesake_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "version", lambda name: "9.9")

    (found,) = checks.check_namesake(app_configs=None)

    assert found.id == "cachekit.W001"
    assert "9.9" in found.msg


def test_without_the_namesake_there_is_nothing_to_say() -> None:
    assert checks.check_namesake(app_configs=None) == []


def test_e008_a_replica_of_nothing_is_told(settings: Any) -> None:
    settings.CACHEKIT = {"REPLICAS": {"other": {"of": "nowhere", "lag": 1}}}

    (found,) = checks.check_replicas(app_configs=None)

    assert found.id == "cachekit.E008"
    assert "'nowhere', which is no alias of DATABASES" in found.msg


def test_w004_a_mirror_that_is_not_declared_is_told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES["other"], "TEST", {"MIRROR": "default"})
    settings.CACHEKIT = {}

    (found,) = checks.check_replicas(app_configs=None)

    assert found.id == "cachekit.W004"
    assert found.hint == "Set CACHEKIT['REPLICAS'] = {'other': {'of': 'default', 'lag': 5}}, in seconds."

    settings.CACHEKIT = {"REPLICAS": {"other": {"of": "default", "lag": 5}}}
    assert checks.check_replicas(app_configs=None) == []


def test_w005_rows_that_cannot_be_kept_are_named() -> None:
    found = {message.msg for message in checks.check_rows(app_configs=None) if message.id == "cachekit.W005"}

    doubts = {"Coin": ("MoneyField", "worth"), "Sheet": ("ShoutField", "shout"), "Draft": ("ShoutField", "shout")}
    assert found == {
        f"Rows of zoo.{name} are asked from the database each time: "
        f"what {kind} makes of the column {column!r} may be no plain value."
        for name, (kind, column) in doubts.items()
    }


@pytest.mark.parametrize(
    ("given", "said", "hint"),
    [
        ({"zoo.boook": {"rows": True}}, "'zoo.boook', which is no model", "Did you mean 'zoo.Book'?"),
        ({"zooo": {"rows": True}}, "'zooo', which is no model", "Did you mean 'zoo'?"),
        ({"qqqqqq": {}}, "which is no model", "Name models as Django does: 'shop.Product'."),
        ({"zoo.book": 600}, "must be a dict", "Say {'rows': True"),
        ({"zoo.book": {"row": True}}, "says 'row', which is neither", "Say {'rows': True"),
        ({"zoo.book": {"queries": {"tiemout": 3}}}, "tiemout", "Say {'rows': True"),
        ({"zoo.book": {"rows": {"tags": ("a",)}}}, "takes no 'tags'", "Say {'rows': True"),
    ],
)
def test_e010_models_that_cannot_be_meant_are_named(settings: Any, given: Any, said: str, hint: str) -> None:
    settings.CACHEKIT = {"MODELS": given}

    (found,) = checks.check_models(app_configs=None)

    assert found.id == "cachekit.E010"
    assert said in found.msg
    assert hint in (found.hint or "")


def test_models_that_can_be_meant_are_fine(settings: Any) -> None:
    settings.CACHEKIT = {
        "MODELS": {"zoo": {"queries": 60}, "zoo.Book": {"rows": None}, "auth.user": {"rows": {"near": True}}}
    }

    assert checks.check_models(app_configs=None) == checks.check_settings(app_configs=None) == []
