"""Make rows of the zoo in one line."""

from __future__ import annotations

from typing import Any

from tests.zoo.models import Author, Book


def make_author(name: str = "Ada", **fields: Any) -> Author:
    """Save an author."""
    return Author.objects.create(name=name, **fields)


def make_book(title: str = "Notes", *, author: Author | None = None, **fields: Any) -> Book:
    """Save a book, with an author of its own where none is given."""
    return Book.objects.create(title=title, author=author or make_author(), **fields)
