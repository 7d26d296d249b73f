"""The page on patterns does what it says: its code is run."""

from __future__ import annotations

import sys
import textwrap
from types import ModuleType
from typing import Any

import pytest

from cachekit import writebehind, writethrough
from cachekit.testing import assert_cached
from tests.walk import ROOT, blocks
from tests.zoo.builders import make_book
from tests.zoo.models import Book


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page defines, with books for products; calls at the top of a block are left out."""
    models = ModuleType("shop.models")
    models.Product = Book  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop", ModuleType("shop"))
    monkeypatch.setitem(sys.modules, "shop.models", models)
    monkeypatch.setattr(writethrough, "_known", [])
    monkeypatch.setattr(writebehind, "_counters", {})
    found: dict[str, Any] = {"__name__": "shop.caching"}
    for block in blocks(ROOT / "docs/how-to/choose-a-pattern.md"):
        if block.language == "python" and "import" in block.text:
            exec(textwrap.dedent(block.text), found)
    return found


@pytest.mark.django_db(transaction=True)
def test_each_pattern_shows_what_was_written(page: dict[str, Any], django_assert_num_queries: Any) -> None:
    book, other = make_book("Ring", price=10), make_book("Chain")
    pks = [book.pk, other.pk]

    assert [title for title, _ in page["price_list"]()] == ["Chain", "Ring"]
    with django_assert_num_queries(1):
        assert [one.title for one in page["products"].get_many([*pks, 0]).values()] == ["Ring", "Chain"]
    book.title = "Brooch"
    book.save()
    with assert_cached():
        assert page["product_page"](book.pk) == {"title": "Brooch", "price": "10.00"}
    assert [title for title, _ in page["price_list"]()] == ["Brooch", "Chain"]
    assert page["products"][book.pk].title == "Brooch"
    Book.objects.filter(pk=other.pk).update(title="Necklace")
    with django_assert_num_queries(1):
        assert [one.title for one in page["products"].get_many(pks).values()] == ["Brooch", "Necklace"]
    views = page["views"]
    views.add(book.pk)
    views.add(book.pk)
    assert views.pending(book.pk) == 2
    views.flush()
    assert Book.objects.get(pk=book.pk).views == 2
    assert views.pending(book.pk) == 0
