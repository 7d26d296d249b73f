"""Signed pickles."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from cachekit.core.codecs import SIGNATURE_SIZE, SignedPickle, Undecodable, signing_key
from cachekit.exceptions import UncacheableValue

OLD, NEW = signing_key("old"), signing_key("new")


def codec(*keys: bytes) -> SignedPickle:
    return SignedPickle(lambda: keys)


class Gone:
    """A class that a later deploy no longer has."""


class Rude:
    def __reduce__(self) -> Any:
        raise RuntimeError("no")


def nested() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


def generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("value", [None, 0, "é", b"\x00", [1, {"a": (2, 3)}], {1, 2}])
def test_values_survive(value: Any) -> None:
    assert codec(NEW).loads(codec(NEW).dumps(value)) == value


def test_a_rotated_secret_still_verifies_while_it_is_a_fallback() -> None:
    payload = codec(OLD).dumps("x")

    assert codec(NEW, OLD).loads(payload) == "x"
    with pytest.raises(Undecodable, match="SECRET_KEY_FALLBACKS"):
        codec(NEW).loads(payload)


@pytest.mark.parametrize("place", [0, SIGNATURE_SIZE, -1])
def test_one_changed_bit_is_refused(place: int) -> None:
    payload = bytearray(codec(NEW).dumps({"price": 10}))
    payload[place] ^= 1

    with pytest.raises(Undecodable, match="signed"):
        codec(NEW).loads(bytes(payload))


@pytest.mark.parametrize("payload", [b"", b"short", pickle.dumps("unsigned")])
def test_what_was_never_signed_is_refused(payload: bytes) -> None:
    with pytest.raises(Undecodable, match="signed"):
        codec(NEW).loads(payload)


def test_a_class_that_is_gone_is_undecodable(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = codec(NEW).dumps(Gone())
    monkeypatch.delattr(f"{__name__}.Gone")

    with pytest.raises(Undecodable, match="AttributeError"):
        codec(NEW).loads(payload)


@pytest.mark.parametrize(
    ("value", "name"), [(lambda: 1, "function"), (Rude(), "Rude"), (generator(), "generator"), (nested(), "list")]
)
def test_what_does_not_pickle_names_its_type(value: Any, name: str) -> None:
    with pytest.raises(UncacheableValue, match=f"type {name} cannot be pickled"):
        codec(NEW).dumps(value)


def test_secrets_may_be_bytes() -> None:
    assert signing_key(b"old") == OLD != NEW
