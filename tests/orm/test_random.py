"""Random questions between random writes: what is cached is what the database says."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.models import Count, F, Q, QuerySet
from hypothesis import HealthCheck, given, settings, strategies as st

from cachekit import cached_query
from cachekit.testing import reset
from tests.emptying import empty
from tests.orm.world import ADA, BLUE, BOB, EVE, FOUR, ONE, RED, THREE, TWO, populate
from tests.zoo.models import Author, Book

CACHE = "memory"
AUTHORS = st.sampled_from([ADA, BOB, EVE])
STATUSES = st.sampled_from(["draft", "out", "sold", "Draft"])
ROWS = st.sampled_from([ONE, TWO, THREE, FOUR])

CONDITIONS = st.one_of(
    st.builds(lambda value: Q(status=value), STATUSES),
    st.builds(lambda values: Q(status__in=values), st.lists(STATUSES, max_size=3)),
    st.builds(lambda value: Q(author=value), AUTHORS),
    st.builds(lambda values: Q(author__in=values), st.lists(AUTHORS, max_size=3)),
    st.builds(lambda value: Q(pk=value), ROWS),
    st.builds(lambda values: Q(pk__in=values), st.lists(ROWS, max_size=3)),
    st.builds(lambda value: Q(stock__gte=value), st.integers(0, 3)),
    st.builds(lambda value: Q(editor__isnull=value), st.booleans()),
    st.builds(lambda value: Q(author__name=value), st.sampled_from(["Ada", "Bob"])),
    st.builds(lambda value: Q(tags=value), st.sampled_from([RED, BLUE])),
)
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a, b: a ^ b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=4,
)
ORDERS = st.sampled_from([("pk",), ("-stock", "pk"), ("author__name", "pk"), ("status", "-pk")])
SLICES = st.sampled_from([slice(None), slice(0, 2), slice(1, 3), slice(2, None)])
QUESTIONS = st.tuples(FILTERS, ORDERS, SLICES, st.booleans())
WRITES = st.one_of(
    st.tuples(st.just("save"), ROWS, STATUSES, AUTHORS),
    st.tuples(st.just("update"), CONDITIONS, STATUSES, AUTHORS),
    st.tuples(st.just("bump"), CONDITIONS, STATUSES, AUTHORS),
    st.tuples(st.just("delete"), CONDITIONS, STATUSES, AUTHORS),
    st.tuples(st.just("create"), ROWS, STATUSES, AUTHORS),
    st.tuples(st.just("tag"), ROWS, STATUSES, AUTHORS),
    st.tuples(st.just("rename"), ROWS, STATUSES, AUTHORS),
)


def ask(where: Q, order: tuple[str, ...], part: slice, counted: bool) -> QuerySet[Book, Any]:
    """Build a question."""
    found = Book.objects.filter(where).order_by(*order)
    if counted:
        found = found.annotate(n=Count("tags"))
        return found.values_list("pk", "title", "status", "author", "stock", "n")[part]
    return found.values_list("pk", "title", "status", "author", "stock")[part]


def write(kind: str, where: Any, status: str, author: int) -> None:
    """Change something."""
    row = Book.objects.filter(pk=where) if isinstance(where, int) else Book.objects.filter(where)
    match kind:
        case "save":
            for book in row:
                book.status, book.author_id = status, author
                book.save()
        case "update":
            row.update(status=status)
        case "bump":
            row.update(stock=F("stock") + 1)
        case "delete":
            row.delete()
        case "create":
            Book.objects.create(title=status, author_id=author, status=status)
        case "tag":
            for book in row:
                book.tags.add(RED)
        case "rename":
            Author.objects.filter(pk=author).update(name=status)


@pytest.mark.django_db(transaction=True)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(questions=st.lists(QUESTIONS, min_size=3, max_size=6), writes=st.lists(WRITES, min_size=1, max_size=4))
def test_cached_answers_are_the_databases(questions: list[Any], writes: list[Any]) -> None:
    empty(connection)
    reset()
    populate()

    for deed in ((), *writes):
        if deed:
            write(*deed)
        for _ in range(2):
            for question in questions:
                assert cached_query(ask(*question), 300) == list(ask(*question))
