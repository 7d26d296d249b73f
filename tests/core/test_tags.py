"""Tags as text."""

from __future__ import annotations

import pytest

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
