"""How values are kept: signed, compressed, or as the project's own serializer says."""

from __future__ import annotations

import gzip
import logging
import lzma
import pickle
import zlib
from collections.abc import Iterator
from typing import Any

import lz4.frame
import pytest
import zstandard
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import get_random_string
from django_redis import get_redis_connection

from cachekit import hooks
from cachekit.backends import calling
from cachekit.exceptions import UncacheableValue
from tests.backends.conftest import Make
from tests.twins import Call

RAN: list[str] = []


class Payload:
    """What an attacker would store: unpickling it runs code."""

    def __reduce__(self) -> Any:
        return RAN.append, ("ran",)


class Short:
    """A class that a deploy removes."""


def endless() -> Iterator[int]:
    while True:
        yield 1


def planted(cache: Any, data: bytes, key: str = "k") -> None:
    get_redis_connection("default").set(cache.client.make_key(key), data)


@pytest.mark.parametrize(
    "data",
    [pickle.dumps(Payload()), b"x" * 16 + pickle.dumps(Payload()), b"", b"garbage", b"-", b"12345678901234567890123"],
)
def test_what_we_did_not_sign_is_a_miss(cache: Any, call: Call, data: bytes, lookups: list[hooks.Lookup]) -> None:
    RAN.clear()
    planted(cache, data)

    assert call(cache.get, "k", "default") == "default"
    assert call(cache.get_many, ["k"]) == {}
    assert RAN == []
    assert [lookup.result for lookup in lookups] == ["error", "error"]


def test_what_does_not_unpickle_is_a_miss(cache: Any, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call(cache.set, "k", Short())
    call(cache.sadd, "s", Short())

    monkeypatch.delattr(f"{__name__}.Short")

    assert call(cache.get, "k", "default") == "default"
    assert call(cache.smembers, "s") == set()


def test_it_is_logged_once_without_the_value(cache: Any, caplog: pytest.LogCaptureFixture) -> None:
    calling._warned.clear()
    planted(cache, b"secret" * 10)

    with caplog.at_level(logging.WARNING, "cachekit.backends"):
        cache.get("k")
        cache.get("k")

    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


def test_a_rotated_key_still_reads(settings: Any, cache: Any, call: Call) -> None:
    call(cache.set, "k", ["v"])

    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = get_random_string(50)
    assert call(cache.get, "k") == ["v"]

    settings.SECRET_KEY_FALLBACKS = []
    assert call(cache.get, "k") is None


@pytest.mark.parametrize("value", [lambda: None, endless(), pytest])
@pytest.mark.parametrize("method", ["set", "add"])
def test_what_does_not_pickle_is_refused_with_its_type(any_cache: Any, call: Call, method: str, value: Any) -> None:
    for kind in (UncacheableValue, TypeError, pickle.PickleError):
        with pytest.raises(kind, match=f"type {type(value).__name__} cannot be pickled .*plain data"):
            call(getattr(any_cache, method), "k", value)


def test_a_refused_value_in_many_stores_nothing(cache: Any, call: Call) -> None:
    with pytest.raises(UncacheableValue):
        call(cache.set_many, {"a": 1, "b": lambda: None})

    assert call(cache.get, "a") is None


def raw(cache: Any, key: str) -> bytes:
    found: bytes = get_redis_connection("made").get(cache.client.make_key(key))
    return found


@pytest.mark.parametrize("codec", ["pickle", "json", "msgpack"])
@pytest.mark.parametrize("compressor", ["", "zlib", "lz4", "zstd"])
def test_our_codecs_and_compressors(make: Make, call: Call, codec: str, compressor: str) -> None:
    cache = make(OPTIONS={"CODEC": codec, "COMPRESSOR": compressor, "COMPRESS_FROM": 500})
    values = {"long": ["x" * 10_000], "text": "é" * 400, "number": 5, "flag": True, "nothing": None, "great": 2**70}

    call(cache.set_many, values)

    assert call(cache.get_many, list(values)) == values
    assert call(cache.incr, "number") == 6
    assert raw(cache, "number") == b"6"
    assert raw(cache, "flag") == b"\xc1\x09"
    assert (len(raw(cache, "long")) < 1000) is bool(compressor)
    assert make("reader", KEY_PREFIX="").get("long") == values["long"], "another alias reads whatever was written"


def test_text_is_kept_as_text(make: Make, call: Call) -> None:
    cache = make()

    call(cache.set, "k", "12 é")
    call(cache.sadd, "s", "apple", "pear", ("a", "tuple"))

    assert raw(cache, "k") == b"\xc1\x0412 \xc3\xa9"
    assert set(cache.sscan_iter("s", match="ap*")) == {"apple"}
    assert call(cache.smembers, "s") == {"apple", "pear", ("a", "tuple")}


def test_text_members_survive_a_rotated_key(settings: Any, cache: Any, call: Call) -> None:
    call(cache.sadd, "s", "apple")

    settings.SECRET_KEY = get_random_string(50)

    assert call(cache.sismember, "s", "apple")


def test_what_json_does_not_take_is_refused(make: Make, call: Call) -> None:
    cache = make(OPTIONS={"CODEC": "json"})

    with pytest.raises(UncacheableValue, match="JSON has no such type"):
        call(cache.set, "k", {"pair": (1, 2)})
    assert call(cache.get, "k") is None


THEIRS = [
    *(pickle.dumps({"a": 1}), zlib.compress(pickle.dumps(["x"])), gzip.compress(b"x" * 99), lzma.compress(b"x" * 99)),
    *(lz4.frame.compress(pickle.dumps("x" * 99)), zstandard.compress(pickle.dumps("x" * 99)), b'{"a": 1}', b'"text"'),
    *(b"null", b"true", b"1.5", b"\x81\xa1a\x01", b"\xa4text", b"\xc0", b"\xc1", b"\xc1\x00", b"\xc1\xffx", b"\x00"),
]


@pytest.mark.parametrize("data", THEIRS, ids=range(len(THEIRS)))
@pytest.mark.parametrize("options", [{}, {"CODEC": "msgpack", "COMPRESSOR": "zstd"}], ids=["pickle", "msgpack"])
def test_what_others_wrote_under_the_key_is_a_miss(make: Make, data: bytes, options: Any) -> None:
    cache = make(OPTIONS=options)
    get_redis_connection("made").set(cache.client.make_key("k"), data)

    assert cache.get("k", "default") == "default"


def test_numbers_of_others_are_numbers(make: Make) -> None:
    cache = make()
    get_redis_connection("made").set(cache.client.make_key("k"), 5)

    assert cache.get("k") == 5


def test_a_serializer_of_django_redis_may_be_compressed_by_us(make: Make, call: Call) -> None:
    plain = make(OPTIONS={"SERIALIZER": "django_redis.serializers.json.JSONSerializer"})
    packed = make(
        "packed", OPTIONS={"SERIALIZER": "django_redis.serializers.json.JSONSerializer", "COMPRESSOR": "zstd"}
    )
    values = {"short": {"a": 1}, "long": {"a": "x" * 2000}, "text": "x" * 2000, "number": 5}

    call(packed.set_many, values)

    assert call(packed.get_many, list(values)) == values
    assert raw(packed, "short") == b'{"a": 1}'
    assert len(raw(packed, "long")) < 200
    assert call(plain.get_many, list(values)) == values


@pytest.mark.parametrize(
    "name", ["zlib.ZlibCompressor", "gzip.GzipCompressor", "lzma.LzmaCompressor", "lz4.Lz4Compressor"]
)
def test_a_bomb_for_django_rediss_compressors_is_a_miss(settings: Any, make: Make, name: str) -> None:
    settings.CACHEKIT = {**settings.CACHEKIT, "MAX_VALUE_BYTES": 100_000}
    cache = make(OPTIONS={"COMPRESSOR": f"django_redis.compressors.{name}"})
    cache.set_many({"large": "x" * 90_000, "bomb": "x" * 200_000})

    assert cache.get_many(["large", "bomb"]) == {"large": "x" * 90_000}


@pytest.mark.parametrize(
    "name", ["zlib.ZlibCompressor", "gzip.GzipCompressor", "lzma.LzmaCompressor", "lz4.Lz4Compressor"]
)
def test_django_rediss_compressors(make: Make, call: Call, name: str) -> None:
    cache = make(OPTIONS={"COMPRESSOR": f"django_redis.compressors.{name}"})

    call(cache.set_many, {"long": "x" * 10_000, "short": "x", "number": 5})

    assert call(cache.get_many, ["long", "short", "number"]) == {"long": "x" * 10_000, "short": "x", "number": 5}
    assert get_redis_connection("made").strlen(cache.client.make_key("long")) < 1000
    with pytest.raises(ValueError, match="match with compression"):
        list(cache.sscan_iter("s", match="a*"))


def test_django_rediss_json(make: Make, call: Call) -> None:
    cache = make(OPTIONS={"SERIALIZER": "django_redis.serializers.json.JSONSerializer"})

    call(cache.set, "k", {"a": [1, 1.5, None, "é"]})

    assert call(cache.get, "k") == {"a": [1, 1.5, None, "é"]}
    assert get_redis_connection("made").get(cache.client.make_key("k")).startswith(b'{"a"')
    with pytest.raises(TypeError):
        call(cache.set, "k", object())


class ForDjango:
    """A serializer as Django's backend takes it."""

    def dumps(self, value: Any) -> Any:
        return value if isinstance(value, int) else str(value).encode()

    def loads(self, data: bytes) -> str:
        return data.decode()


@pytest.mark.parametrize("given", [ForDjango, ForDjango(), f"{__name__}.ForDjango"])
def test_a_serializer_for_djangos_backend(make: Make, call: Call, given: Any) -> None:
    cache = make(OPTIONS={"serializer": given})

    call(cache.set_many, {"text": "text", "number": 5})

    assert call(cache.get_many, ["text", "number"]) == {"text": "text", "number": 5}


def test_the_pickle_version(make: Make) -> None:
    cache = make(OPTIONS={"PICKLE_VERSION": 2})
    cache.set("k", ["v"])

    assert get_redis_connection("made").get(cache.client.make_key("k"))[14:16] == b"\x80\x02"
    with pytest.raises(ImproperlyConfigured, match="PICKLE_VERSION"):
        make("other", OPTIONS={"PICKLE_VERSION": 99}).set("k", "v")


def test_django_rediss_entries_are_misses_after_the_switch(cache: Any, make: Make) -> None:
    caches["plain"].set("k", "theirs")
    ours = make(KEY_PREFIX="plain")  # all but its BACKEND like the alias `plain`

    assert ours.get("k") is None


def test_values_of_a_few_megabytes(cache: Any, call: Call) -> None:
    value = b"\x00\xff" * 2_000_000

    call(cache.set, "k", value)

    assert call(cache.get, "k") == value
