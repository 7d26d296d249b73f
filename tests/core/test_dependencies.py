"""What entries depend on, as bytes and as places in the ledger."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as some

from cachekit.core import dependencies, groups, tags

NAMES = some.sampled_from(
    ["homepage", "a.b", "a.b#1", "a.b#2", "a.b?c=1", "function:f", "function:f#1", "ä.ö#ü", "c.d@x"]
)


@given(some.lists(NAMES))
def test_the_order_and_number_of_mentions_do_not_matter(names: list[str]) -> None:
    half = len(names) // 2

    assert dependencies.encode(names) == dependencies.encode(sorted(set(names)))
    assert dependencies.merge(names[:half], [dependencies.encode(names[half:])]) == dependencies.merge(names, [])


def test_more_than_32_rows_of_a_table_are_the_table() -> None:
    few = dependencies.merge([f"a.b#{n}" for n in range(32)], [])
    many = dependencies.merge([f"a.b#{n}" for n in range(20)], [dependencies.encode(f"a.b#{n}" for n in range(13, 33))])

    assert dependencies.touches(few, ["a.b#31"])
    assert not dependencies.touches(few, ["a.b#99"])
    assert many == dependencies.encode(["a.b"])


def test_a_table_swallows_its_rows_and_slices_but_not_those_of_others() -> None:
    blob = dependencies.merge(["a.b", "a.b#1", "a.b?c=1", "c.d#1"], [])

    assert blob == dependencies.encode(["a.b", "c.d#1"])


def test_a_hundred_thousand_tags_can_be_written_and_read() -> None:
    blob = dependencies.encode(f"tag-{n}" for n in range(100_000))

    assert sum(len(digests) for _, digests in dependencies.layout(blob).places) == 100_000
    assert dependencies.readable(blob) == ["100000 free tags"]


@pytest.mark.parametrize(
    "blob",
    [
        b"\x40",
        b"\x40\x03a.",
        b"\x40\x03a.b\x09",
        b"\x40\x03a.b\xff\x00",
        b"\x01\x01a",
        b"\xe0\x00",
        b"\x00\x02\xff\xfe",
        b"\x40\x03a.b\xff\x00\x00\x00",
        b"\x41\x03a.b" + b"1234567",
        b"\xc1\x03a.b",
        b"\xc1\x03a.b" + b"\xff" * 12,
        b"\xc0\x03a.b\x02\x01",
    ],
)
def test_bytes_that_are_no_dependencies_are_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        dependencies.layout(blob)


@given(some.sets(some.integers(0, 10**18 - 1), min_size=1, max_size=32))
def test_rows_that_have_numbers_are_told_by_them(numbers: set[int]) -> None:
    blob = dependencies.encode(f"a.b#{number}" for number in numbers)

    assert [set(members) for _, _, members in groups.decoded(blob)] == [numbers]
    assert {one for _, ones in dependencies.layout(blob).places for one in ones} == {
        tags.parse(f"a.b#{number}").digest for number in numbers
    }


@pytest.mark.parametrize("text", ["007", "-1", "+1", "1.0", "1_0", "²", "٣", "1" * 19, "x"])
def test_rows_whose_keys_only_look_like_numbers_are_told_by_digests(text: str) -> None:
    blob = dependencies.encode([f"a.b#{text}"])

    assert dependencies.touches(blob, [f"a.b#{text}"])
    assert [kind for kind, _, _ in groups.decoded(blob)] == ["r"]


def test_twenty_rows_near_each_other_take_a_byte_each() -> None:
    one, many = dependencies.encode(["a.b#1000"]), dependencies.encode(f"a.b#{1000 + n}" for n in range(20))

    assert len(many) == len(one) + 20


def test_numbers_and_digests_count_as_rows_together() -> None:
    names = [*(f"a.b#{n}" for n in range(20)), *(f"a.b#x{n}" for n in range(20))]

    assert dependencies.merge(names, []) == dependencies.encode(["a.b"])


FAMILIES = some.sampled_from(
    ["a.b", "a.b@x", "a.bc", "ab.c", "[t]a.b", "[t]*", "query:a.b", "query:a.b@x", "view:a.b.c", "function:a.b.c", "~"]
)


@given(some.lists(FAMILIES), some.sampled_from(["", "ck:e:query:a.b:x", "ck:e:function:a.b.c:y", "ck:e:row:a.b:z:x:7"]))
def test_whatever_stands_before_names_come_back(names: list[str], key: str) -> None:
    known = {"x": ["query:a.b"], "y": ["function:a.b.c", "function:a.b.c#y"], "7": ["a.b@x#7"]}.get(key[-1:], [])
    texts = [*(f"{name}#7" if name.endswith(("b", "x")) else name.replace("[t]*", "[t]free") for name in names), *known]
    blob, plain = dependencies.merge(texts, [], key), dependencies.encode(texts)

    assert dependencies.layout(blob) == dependencies.layout(plain)
    assert blob.startswith(groups.own(key) if key else b"")
    assert dependencies.merge([], [blob]) == dependencies.merge([], [plain]) == plain


def test_names_share_their_beginnings() -> None:
    blob = dependencies.encode(["shop.product", "shop.category", "homepage"])

    assert len(blob) == 2 + 13 + 2 + 7 + 1 + 8
    assert dependencies.families(blob) == {"shop.product", "shop.category", "~"}


@given(some.lists(some.from_regex(r"\A[a-zé]{1,40}\.[a-zé]{1,40}\Z")), some.lists(NAMES))
def test_names_come_back(tables: list[str], others: list[str]) -> None:
    blob = dependencies.encode([*tables, *others])

    assert dependencies.families(blob) == {tags.parse(name).family for name in (*tables, *others)}


def test_people_read_families_and_counts() -> None:
    blob = dependencies.encode(["a.b", "c.d#1", "c.d#2", "e.f?g=1", "function:h", "function:h#1", "x", "y"])

    assert sorted(dependencies.readable(blob)) == [
        "2 free tags",
        "a.b",
        "c.d (2 rows)",
        "e.f (1 slices)",
        "function:h",
        "function:h (1 calls)",
    ]
