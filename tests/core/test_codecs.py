"""Payloads: signed where reading runs code, exact or refused, read whatever codec wrote them, and never a bomb."""

from __future__ import annotations

import datetime
import decimal
import pickle
import sys
import uuid
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from cachekit.core import compressors, formats, packing
from cachekit.core.codecs import Undecodable
from cachekit.core.compressors import compressor_of
from cachekit.core.copies import is_immutable
from cachekit.core.formats import JSON, MSGPACK, PICKLE, format_of
from cachekit.core.packing import SIGNATURE_SIZE, Packer, Packing, sign, signing_key
from cachekit.exceptions import MissingExtra, UncacheableValue

OLD, NEW = signing_key("old"), signing_key("new")
RAN: list[str] = []
FORMATS, COMPRESSORS = ["pickle", "json", "msgpack"], ["zlib", "lz4", "zstd"]


def codec(*keys: bytes, form: str = "pickle", compressor: str = "", least: int = 64, limit: int = 2**20) -> Packer:
    found = compressor_of(compressor) if compressor else None
    return Packer(Packing(format_of(form), found, least, limit), lambda: keys or (NEW,))


class Gone:
    """A class that a later deploy no longer has."""


class Payload:
    """What an attacker would store: unpickling it runs code."""

    def __reduce__(self) -> Any:
        return RAN.append, ("ran",)


class Rude:
    def __reduce__(self) -> Any:
        raise RuntimeError("no")


class Text(str):
    """Text of another class."""

    __slots__ = ()


def nested() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def generator() -> Iterator[int]:
    yield 1


def said(value: Any) -> str:
    """Tell values apart down to the types and zones in them; sets in any order."""
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}{sorted(map(said, value))}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}{[*map(said, value)]}"
    if isinstance(value, dict):
        return f"dict{[(said(key), said(one)) for key, one in value.items()]}"
    return f"{type(value).__name__} {value!r}"


# What comes back

text = st.text(st.characters(codec="utf-8"))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text
zones = st.none() | st.sampled_from(
    [datetime.UTC, ZoneInfo("Europe/Brussels"), ZoneInfo("UTC"), datetime.timezone(datetime.timedelta(minutes=90), "X")]
)
rich = st.one_of(
    *(scalars, st.binary(), st.decimals(allow_nan=False), st.uuids(), st.dates(), st.timedeltas()),
    st.datetimes(timezones=zones, allow_imaginary=True),
    st.builds(lambda time, fold: time.replace(fold=fold), st.times(timezones=zones), st.sampled_from([0, 1])),
)
plain_values: st.SearchStrategy[Any] = st.recursive(
    scalars.filter(lambda value: not isinstance(value, float) or abs(value) < 1e308),
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=8,
)
rich_values: st.SearchStrategy[Any] = st.recursive(
    rich,
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(text | st.integers(-(2**63), 2**63 - 1) | st.binary() | st.booleans() | st.none(), inner),
        st.lists(inner).map(tuple),
        st.lists(inner.filter(is_immutable)).map(set),
        st.lists(inner.filter(is_immutable)).map(frozenset),
    ),
    max_leaves=8,
)


@given(plain_values, st.sampled_from(FORMATS), st.sampled_from(["", *COMPRESSORS]))
def test_plain_values_come_back_the_same_by_every_codec(value: Any, form: str, compressor: str) -> None:
    packer = codec(form=form, compressor=compressor, least=0)

    assert said(codec().loads(packer.dumps(value))) == said(value)


@given(rich_values, st.sampled_from(["pickle", "msgpack"]))
def test_python_s_own_types_come_back_by_pickle_and_msgpack(value: Any, form: str) -> None:
    assert said(codec().loads(codec(form=form).dumps([value]))) == said([value])


@given(rich_values)
def test_json_takes_what_it_can_give_back_and_refuses_the_rest(value: Any) -> None:
    packer = codec(form="json")
    try:
        payload = packer.dumps([value])
    except UncacheableValue:
        return

    assert said(packer.loads(payload)) == said([value])


@given(st.lists(rich) | st.just(float("inf")))
def test_scalars_need_no_codec(value: Any) -> None:
    assert said(codec(form="json").loads(codec().dumps(value))) == said(value)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("value", ["é", b"\x00\xff", 5, -(2**200), 0.1, None, True, False, "", b"", 0, -0.0])
def test_scalars_are_a_byte_and_themselves(form: str, value: Any) -> None:
    payload = codec(form=form).dumps(value)

    assert said(codec().loads(payload)) == said(value)
    assert len(payload) <= 1 + max(len(str(value)), 8)


def test_half_a_character_is_pickled() -> None:
    assert codec().loads(codec().dumps("\ud800")) == "\ud800"


# What is refused


@pytest.mark.parametrize(
    "value",
    [
        *((1, 2), {1}, b"bytes", {1: "x"}, {None: 1}, decimal.Decimal(1), uuid.UUID(int=1), datetime.date(2026, 1, 1)),
        *(float("nan"), float("inf"), "\ud800", "\ud83d\ude00", Text("x"), OrderedDict(a=1), {Text("k"): 1}, object()),
        *(nested(), circle(), 10**5000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_json_refuses_what_would_come_back_as_something_else(value: Any) -> None:
    for held in ([value], {"key": value}):
        with pytest.raises(UncacheableValue, match=r"cannot be kept as JSON .*codec='pickle'"):
            codec(form="json").dumps(held)


@pytest.mark.parametrize(
    "value",
    [
        *(Text("x"), OrderedDict(a=1), object(), nested(), circle(), {(1, 2): 1}, {Text("k"): 1}, {2**70: 1}),
        *("\ud800", 1j, bytearray(b"x"), Gone()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_msgpack_refuses_what_would_come_back_as_something_else(value: Any) -> None:
    for held in ([value], {"key": value}):
        with pytest.raises(UncacheableValue, match=r"cannot be kept as msgpack .*codec='pickle'"):
            codec(form="msgpack").dumps(held)


@pytest.mark.parametrize(
    ("value", "name"), [(lambda: 1, "function"), (Rude(), "Rude"), (generator(), "generator"), (nested(), "list")]
)
def test_what_does_not_pickle_names_its_type(value: Any, name: str) -> None:
    with pytest.raises(UncacheableValue, match=f"type {name} cannot be pickled"):
        codec().dumps(value)


# What is not believed


def test_a_rotated_secret_still_verifies_while_it_is_a_fallback() -> None:
    payload = codec(OLD).dumps(["x"])

    assert codec(NEW, OLD).loads(payload) == ["x"]
    with pytest.raises(Undecodable, match="SECRET_KEY_FALLBACKS"):
        codec(NEW).loads(payload)


@pytest.mark.parametrize("place", [1, SIGNATURE_SIZE, SIGNATURE_SIZE + 1, -1])
@pytest.mark.parametrize("compressor", ["", "zlib"])
def test_one_changed_bit_is_refused(place: int, compressor: str) -> None:
    payload = bytearray(codec(compressor=compressor).dumps({"price": 10, "name": "x" * 200}))
    payload[place] ^= 1

    with pytest.raises(Undecodable, match="signed"):
        codec().loads(bytes(payload))


def test_the_signature_covers_the_compressor() -> None:
    payload = bytearray(codec(compressor="zlib").dumps(["x" * 200]))
    payload[0] &= 15

    with pytest.raises(Undecodable, match="signed"):
        codec().loads(bytes(payload))


@pytest.mark.parametrize("form", [*range(16), *range(16, 256, 13)])
@pytest.mark.parametrize("rest", [b"", b"short", pickle.dumps(Payload()), b"x" * 16 + pickle.dumps(Payload())])
def test_nothing_unsigned_is_unpickled_in_whatever_form(form: int, rest: bytes) -> None:
    RAN.clear()
    try:
        value = codec().loads(bytes((form,)) + rest)
    except Undecodable:
        value = None

    assert RAN == []
    assert not isinstance(value, Payload)


@given(st.binary(max_size=300))
def test_garbage_is_undecodable_or_plain(data: bytes) -> None:
    try:
        codec().loads(data)
    except Undecodable:
        pass


@given(st.sampled_from(FORMATS), st.sampled_from(["", *COMPRESSORS]), st.integers(1, 300))
def test_what_is_cut_off_is_undecodable(form: str, compressor: str, cut: int) -> None:
    value = [{"id": number, "name": f"product {number}"} for number in range(20)]
    payload = codec(form=form, compressor=compressor).dumps(value)

    with pytest.raises(Undecodable):
        codec().loads(payload[: -min(cut, len(payload))])


def test_a_class_that_is_gone_is_undecodable(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = codec().dumps(Gone())
    monkeypatch.delattr(f"{__name__}.Gone")

    with pytest.raises(Undecodable, match="AttributeError"):
        codec().loads(payload)


# Compression


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_large_values_are_compressed_and_read_by_whoever_does_not_compress(form: str, compressor: str) -> None:
    for value in (["abc" * 1000], "abc" * 1000, b"abc" * 1000):
        payload = codec(form=form, compressor=compressor).dumps(value)

        assert len(payload) < 200
        assert codec(form="json").loads(payload) == value


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_what_gets_no_smaller_stays_as_it_is(compressor: str) -> None:
    noise = b"".join(uuid.uuid4().bytes for _ in range(20))

    assert codec(compressor=compressor).dumps(noise) == codec().dumps(noise)
    assert codec(compressor=compressor, least=65).dumps(b"x" * 64) == codec().dumps(b"x" * 64)
    assert codec(compressor=compressor, limit=1000).dumps(b"x" * 1001) == codec().dumps(b"x" * 1001)


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_a_bomb_is_undecodable(compressor: str) -> None:
    bomb = codec(compressor=compressor, limit=2**26).dumps("0" * 2**25)

    assert len(bomb) < 2**18
    with pytest.raises(Undecodable, match="larger"):
        codec().loads(bomb)


def test_a_bomb_that_lies_about_its_size_is_undecodable() -> None:
    for size in (1, 2**20, 2**31 - 1):
        with pytest.raises(Undecodable):
            codec().loads(b"\x24" + size.to_bytes(4, "little") + b"\x00" * 50)


# Names


@pytest.mark.parametrize(
    ("make", "name", "hint"),
    [(format_of, "msgpak", "msgpack"), (compressor_of, "zst", "zstd"), (compressor_of, "snappy", "zlib, lz4, zstd")],
)
def test_an_unknown_name_says_what_there_is(make: Any, name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        make(name)


def forgetful(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Have modules not found, and nobody remember that they were."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    for one in (formats.format_of, compressors.compressor_of, packing._format, packing._compressor):
        one.cache_clear()


@pytest.mark.parametrize(
    ("extra", "modules", "written"),
    [
        ("msgpack", ["cachekit.core.msgpacks", "msgspec"], {"form": "msgpack"}),
        ("lz4", ["lz4"], {"compressor": "lz4"}),
        ("zstd", ["zstandard"], {"compressor": "zstd"}),
    ],
)
def test_without_its_library_a_codec_is_named_and_its_entries_are_misses(
    monkeypatch: pytest.MonkeyPatch, extra: str, modules: list[str], written: dict[str, str]
) -> None:
    payload = codec(**written).dumps(["x" * 300])  # type: ignore[arg-type]
    with monkeypatch.context() as patch:
        forgetful(patch, *modules)

        with pytest.raises(MissingExtra, match=rf"django-cachekit\[{extra}\]"):
            codec(**written)  # type: ignore[arg-type]
        with pytest.raises(Undecodable, match="MissingExtra"):
            codec().loads(payload)
    forgetful(monkeypatch)

    assert codec().loads(payload) == ["x" * 300]


def test_numbers_stay_for_ever() -> None:
    assert (PICKLE, JSON, MSGPACK) == (1, 2, 3)
    assert compressors.NUMBERS == {"zlib": 1, "lz4": 2, "zstd": 3}
    body = zlib.compress(b'["x"]')
    assert codec().loads(b"\x12" + body) == ["x"]
    assert codec().loads(b"\x01" + sign(1, pickle.dumps({1}), NEW) + pickle.dumps({1})) == {1}
    assert [codec().loads(bytes((4 + number,)) + rest) for number, rest in enumerate((b"a", b"a", b"\x07"))] == [
        "a",
        b"a",
        7,
    ]
    assert [codec().loads(bytes((number,))) for number in (8, 9, 10)] == [None, True, False]


def test_secrets_may_be_bytes() -> None:
    assert signing_key(b"old") == OLD != NEW
