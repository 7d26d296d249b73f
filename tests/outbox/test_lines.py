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
