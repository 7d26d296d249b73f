"""Tags as text, as bytes and as places in the ledger."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as some

from cachekit.core import tags
from cachekit.exceptions import InvalidTag


@pytest.mark.parametrize(
    ("text", "kind", "family"),
    [
        ("shop.product", "table", "shop.product"),
        ("shop.product@archive", "table", "shop.product@archive"),
        ("shop.product#42", "row", "shop.product"),
        ("shop.product@archive#42", "row", "shop.product@archive"),
        ("shop.product?cut=3", "slice", "shop.product"),
        ("shop.product#*", "whole", "shop.product#*"),
        ("shop.product?*", "whole", "shop.product?*"),
        ("db:default", "whole", "db:default"),
        ("*", "whole", "*"),
        ("homepage", "free", "~"),
        ("user.42", "free", "~"),
        ("function:shop.top", "named", "function:shop.top"),
        ("function:shop.top#abc", "member", "function:shop.top"),
        ("view:shop.views.shelf", "named", "view:shop.views.shelf"),
    ],
)
def test_a_tag_says_what_it_stands_for(text: str, kind: str, family: str) -> None:
    tag = tags.parse(text)

    assert (tag.text, tag.kind, tag.family) == (text, kind, family)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "1 to 250"),
        ("x" * 251, "251"),
        ("é" * 126, "126"),
        ("two words", "'two-words'"),
        (" padded\n", "'padded'"),
        ("nul\x00", "'nul-'"),
        ("half\ud800", "'half-'"),
        ("   ", "'-'"),
    ],
)
def test_an_unfit_tag_is_refused_with_a_proposal(text: str, hint: str) -> None:
    with pytest.raises(InvalidTag) as refusal:
        tags.parse(text)

    assert hint in str(refusal.value)


@pytest.mark.parametrize("text", ["two words", " padded\n", "nul\x00", "half\ud800", "   "])
def test_a_proposed_tag_is_fit(text: str) -> None:
    with pytest.raises(InvalidTag) as refusal:
        tags.parse(text)

    proposal = str(refusal.value).rpartition("Write it as '")[2].rstrip("'.")
    assert tags.parse(proposal)


def test_a_tag_that_is_no_string_says_what_to_pass() -> None:
    with pytest.raises(InvalidTag, match="not int"):
        tags.parse(42)


@pytest.mark.parametrize("text", ["*", "db:default", "shop.product#*", "shop.product?*"])
def test_whole_things_cannot_be_depended_on(text: str) -> None:
    with pytest.raises(InvalidTag, match="not depended on"):
        tags.dependency(text)


NAMES = some.sampled_from(
    ["homepage", "a.b", "a.b#1", "a.b#2", "a.b?c=1", "function:f", "function:f#1", "ä.ö#ü", "c.d@x"]
)


@given(some.lists(NAMES))
def test_the_order_and_number_of_mentions_do_not_matter(names: list[str]) -> None:
    half = len(names) // 2

    assert tags.encode(names) == tags.encode(sorted(set(names)))
    assert tags.merge(names[:half], [tags.encode(names[half:])]) == tags.merge(names, [])


def test_more_than_32_rows_of_a_table_are_the_table() -> None:
    few = tags.merge([f"a.b#{n}" for n in range(32)], [])
    many = tags.merge([f"a.b#{n}" for n in range(20)], [tags.encode(f"a.b#{n}" for n in range(13, 33))])

    assert tags.touches(few, ["a.b#31"])
    assert not tags.touches(few, ["a.b#99"])
    assert many == tags.encode(["a.b"])


def test_a_table_swallows_its_rows_and_slices_but_not_those_of_others() -> None:
    blob = tags.merge(["a.b", "a.b#1", "a.b?c=1", "c.d#1"], [])

    assert blob == tags.encode(["a.b", "c.d#1"])


def test_a_hundred_thousand_tags_can_be_written_and_read() -> None:
    blob = tags.encode(f"tag-{n}" for n in range(100_000))

    assert sum(len(digests) for _, digests in tags.layout(blob).places) == 100_000
    assert tags.readable(blob) == ["100000 free tags"]


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
    ],
)
def test_bytes_that_are_no_dependencies_are_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        tags.layout(blob)


def test_names_share_their_beginnings() -> None:
    blob = tags.encode(["shop.product", "shop.category", "homepage"])

    assert len(blob) == 2 + 13 + 2 + 7 + 2 + 1 + 8
    assert tags.families(blob) == {"shop.product", "shop.category", "~"}


@given(some.lists(some.from_regex(r"\A[a-zé]{1,40}\.[a-zé]{1,40}\Z")), some.lists(NAMES))
def test_names_come_back(tables: list[str], others: list[str]) -> None:
    blob = tags.encode([*tables, *others])

    assert tags.families(blob) == {tags.parse(name).family for name in (*tables, *others)}


def test_people_read_families_and_counts() -> None:
    blob = tags.encode(["a.b", "c.d#1", "c.d#2", "e.f?g=1", "function:h", "function:h#1", "x", "y"])

    assert sorted(tags.readable(blob)) == [
        "2 free tags",
        "a.b",
        "c.d (2 rows)",
        "e.f (1 slices)",
        "function:h",
        "function:h (1 calls)",
    ]
