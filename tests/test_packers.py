"""Codecs by alias and by door: each writes as it is told, all read whatever was written."""

from __future__ import annotations

import datetime
import pickle
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from cachekit import cached, cached_view, checks, hooks, packers
from cachekit.core.entry import unseal
from cachekit.core.formats import JSON, MSGPACK, PICKLE
from cachekit.core.packing import PAGE
from cachekit.exceptions import UncacheableValue
from cachekit.stores import store_for
from tests.making import hearing

LONG = {"name": "x" * 2000}


def configured(settings: Any, alias: str, **options: Any) -> None:
    """Give an alias further OPTIONS."""
    given = settings.CACHES[alias]
    settings.CACHES = {**settings.CACHES, alias: {**given, "OPTIONS": {**given.get("OPTIONS", {}), **options}}}


def stored(alias: str, key: str) -> bytes:
    """Return an entry's payload."""
    found = store_for(alias).load(key)
    assert found.header is not None
    return found.payload


def forms(alias: str, key: str) -> tuple[int, int]:
    """Return the codec and the compressor of an entry."""
    return stored(alias, key)[0] & 15, stored(alias, key)[0] >> 4


@pytest.mark.parametrize(("codec", "number"), [("pickle", PICKLE), ("json", JSON), ("msgpack", MSGPACK)])
@pytest.mark.parametrize(("compressor", "second"), [("", 0), ("zlib", 1), ("lz4", 2), ("zstd", 3)])
def test_an_alias_says_how_its_entries_are_written(
    settings: Any, alias: str, codec: str, number: int, compressor: str, second: int
) -> None:
    configured(settings, alias, CODEC=codec, COMPRESSOR=compressor)

    @cached(name="long", alias=alias)
    def long() -> dict[str, str]:
        return LONG

    assert [long(), long()] == [LONG, LONG]
    assert forms(alias, long.key_for()) == (number, second)


def test_the_setting_holds_for_all_aliases_and_the_door_has_the_last_word(settings: Any, alias: str) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "CODEC": "json", "COMPRESSOR": "zstd", "COMPRESS_FROM": 3000}

    @cached(name="door", alias=alias, codec="msgpack")
    def door() -> list[str]:
        return ["x" * 3000]

    @cached(name="other", alias=alias)
    def other() -> dict[str, str]:
        return LONG

    assert [door(), other()] == [["x" * 3000], LONG]
    assert forms(alias, door.key_for()) == (MSGPACK, 3)
    assert forms(alias, other.key_for()) == (JSON, 0)


def test_entries_written_before_a_change_of_codec_are_hits_after_it(settings: Any) -> None:
    runs: list[int] = []

    @cached(name="kept")
    def kept() -> dict[str, str]:
        runs.append(1)
        return LONG

    for codec, compressor in (("msgpack", "zstd"), ("json", "lz4"), ("pickle", "")):
        configured(settings, "default", CODEC=codec, COMPRESSOR=compressor)
        assert kept() == LONG

    assert len(runs) == 1
    assert forms("default", kept.key_for()) == (MSGPACK, 3)


def test_what_a_codec_does_not_take_is_handed_out_and_not_stored(alias: str) -> None:
    @cached(name="dated", alias=alias, codec="json")
    def dated() -> dict[str, Any]:
        return {"on": datetime.date(2026, 11, 23)}

    with hearing(hooks.Refused) as heard:
        assert [dated(), dated()] == [{"on": datetime.date(2026, 11, 23)}] * 2

    assert "JSON has no such type" in heard[0].reason
    assert len(heard) == 2


def test_a_value_larger_than_allowed_may_be_stored_when_compressed(settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "MAX_VALUE_BYTES": 3000, "COMPRESSOR": "zlib"}

    @cached(name="large")
    def large(size: int) -> str:
        return "x" * size

    assert [len(large(size)) for size in (2900, 3100, 2900, 3100)] == [2900, 3100, 2900, 3100]
    assert len(stored("default", large.key_for(2900))) < 100
    assert store_for("default").load(large.key_for(3100)).header is None


@pytest.mark.parametrize("compressor", ["", "zlib"])
def test_pages_are_kept_as_they_are(settings: Any, compressor: str) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "COMPRESSOR": compressor}
    runs: list[int] = []

    @cached_view(60)
    def page(request: HttpRequest) -> HttpResponse:
        runs.append(1)
        response = HttpResponse(b"<h1>\xff\n\n</h1>" * 200, content_type="text/html; charset=latin-1")
        response["X-Empty"], response["X-Text"] = "", "é"
        return response

    first, second = (page(RequestFactory().get("/")) for _ in range(2))

    assert len(runs) == 1
    assert (second.status_code, second.reason_phrase, second.content) == (200, "OK", first.content)
    assert dict(second.headers.items()) == dict(first.headers.items())
    client: Any = store_for("default").client  # type: ignore[attr-defined]
    (raw,) = client.keys("*:view:*")
    _, payload = unseal(client.get(raw), raw)
    assert payload[0] == PAGE | (0x10 if compressor else 0)
    assert (first.content in payload) is not bool(compressor)


# What is wrong with it


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"CODEC": "msgpak"}, "Did you mean 'msgpack'"),
        ({"CODEC": 5}, "CODEC is a name"),
        ({"COMPRESSOR": "zip"}, "zlib"),
        ({"COMPRESSOR": False}, "COMPRESSOR is a name"),
        ({"COMPRESS_FROM": "1k"}, "a number of bytes"),
        ({"COMPRESS_FROM": -1}, "a number of bytes"),
    ],
)
def test_e009_options_that_cannot_be_meant(settings: Any, options: dict[str, Any], hint: str) -> None:
    configured(settings, "default", **options)

    (found,) = checks.check_codecs(app_configs=None)

    assert found.id == "cachekit.E009"
    assert "CACHES['default']" in found.msg
    assert hint in found.msg
    with pytest.raises(ImproperlyConfigured, match=hint):
        packers.packer("default")


def test_e009_a_wrong_setting_is_told_once(settings: Any) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "CODEC": "yaml"}

    (found,) = checks.check_codecs(app_configs=None)

    assert found.msg.startswith("CACHEKIT: There is no codec 'yaml'.")


def test_a_door_s_codec_is_checked_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="Did you mean 'json'"):
        cached(codec="jsn")(lambda: 1)


def test_nothing_is_wrong_with_the_defaults() -> None:
    assert checks.check_codecs(app_configs=None) == []
    assert packers.chosen("default").protocol == pickle.HIGHEST_PROTOCOL
    with pytest.raises(UncacheableValue):
        packers.packer("default", "json").dumps({1})
