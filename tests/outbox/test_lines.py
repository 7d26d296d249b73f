"""Lines of the outbox that hold values as PostgreSQL writes them."""

from __future__ import annotations

import pytest
from django.contrib.sessions.models import Session

from cachekit import outbox, registry
from tests.zoo.models import Book


def test_what_this_project_does_not_know_is_every_row_or_slice() -> None:
    text = "zoo.book?gone\x1f7\nnowhere.thing#\x1f7\nnowhere.thing?a\x1f7\nzoo.book#7"

    assert outbox.tags_in(text) == ["zoo.book?*", "nowhere.thing#*", "nowhere.thing?*", "zoo.book#7"]


def test_keys_that_let_their_holder_in_are_told_by_their_fingerprint() -> None:
    tag = registry.row("sessions.session", Session._meta.pk, "Secret1")

    assert outbox.tags_in("sessions.session#\x1fSecret1") == [tag]
    assert "ecret" not in tag


@pytest.mark.parametrize("family", ["zoo.book", "zoo.book@other", "[acme]zoo.book", "[a.b-c]zoo.book@other"])
def test_tables_of_tenants_and_of_other_databases(family: str) -> None:
    tag = registry.slice_of(family, Book._meta.get_field("status"), "A=b?#c")

    assert outbox.tags_in(f"{family}?status\x1fA=b?#c") == [tag]


FULL = "zoo.book\x1e#=,#=,author=,author=,editor=,editor=,status,status\x1e7\x1e7\x1e1\x1e2\x1e'3'\x1eNULL\x1e"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("''", ""),
        ("'a b'", "a b"),
        ("'it''s'", "it's"),
        (r"E'a\\b''c'", r"a\b'c"),
        ("'two\nlines'", "two\nlines"),
        ("'a\x1e''NULL\x1f'", "a\x1e'NULL\x1f"),
        ("'NULL'", "NULL"),
    ],
)
def test_values_of_one_row_before_and_after(written: str, value: str) -> None:
    slices = [f"zoo.book?author={pk}" for pk in (1, 2)] + ["zoo.book?editor=3", "zoo.book?editor=~null"]
    status = registry.slice_of("zoo.book", Book._meta.get_field("status"), value)
    draft = registry.slice_of("zoo.book", Book._meta.get_field("status"), "draft")

    tags = outbox.tags_in(f"{FULL}{written}\x1e'draft'")

    assert sorted(tags) == sorted({"zoo.book", "zoo.book#7", *slices, status, draft})


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("zoo.book\x1e#=,status\x1ecachekit_insert\x1e'cachekit_insert'", ["zoo.book", "zoo.book#*", "zoo.book?*"]),
        (f"zoo.book\x1estatus\x1e'{'x' * 1001}'", ["zoo.book", "zoo.book?*"]),
        ("zoo.book\x1egone\x1e'x'", ["zoo.book", "zoo.book?*"]),
        ("zoo.parcel\nzoo.parcel#*\nzoo.parcel?*", ["zoo.parcel", "zoo.parcel#*", "zoo.parcel?*"]),
    ],
)
def test_values_that_cannot_be_told_are_told_whole(text: str, tags: list[str]) -> None:
    assert outbox.tags_in(text) == tags


def test_a_separator_in_a_value_on_a_line_separates_nothing() -> None:
    tag = registry.slice_of("zoo.book", Book._meta.get_field("status"), "a\x1eb")

    assert outbox.tags_in("zoo.book\nzoo.book#7\nzoo.book?status\x1fa\x1eb") == ["zoo.book", "zoo.book#7", tag]
