"""Random questions between random writes: what is cached is what the database says.

`CACHEKIT_RANDOM_QUERIES=1000` asks so many questions, anew at each run; `make conformance` does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery, Sum
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from cachekit import CachedQuerySet
from cachekit.testing import reset
from tests.emptying import empty
from tests.orm.questions import shown
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
ORDERS = st.sampled_from(
    [
        ("pk",),
        ("-stock", "pk"),
        ("author__name", "pk"),
        ("status", "-pk"),
        ("-author", "price", "pk"),
        ("-views", "-pk"),
    ]
)
SLICES = st.sampled_from([slice(None), slice(0, 2), slice(1, 3), slice(2, None), slice(0, 1)])
FORMS = st.sampled_from(
    [
        "rows",
        "tuples",
        "dicts",
        "related",
        "prefetched",
        "only",
        "annotated",
        "distinct",
        "grouped",
        "subquery",
        "exists",
    ]
)
ENDS = st.sampled_from(["list", "list", "list", "count", "exists", "aggregate", "first", "last", "in_bulk", "get"])
QUESTIONS = st.tuples(FILTERS, ORDERS, SLICES, FORMS, ENDS)
WRITES = st.one_of(
    st.tuples(st.just("save"), ROWS, STATUSES, AUTHORS),
    st.tuples(st.just("update"), CONDITIONS, STATUSES, AUTHORS),
    st.tuples(st.just("bump"), CONDITIONS, STATUSES, AUTHORS),
    st.tuples(st.just("delete"), CONDITIONS, STATUSES, AUTHORS),
    st.tuples(st.just("create"), ROWS, STATUSES, AUTHORS),
    st.tuples(st.just("tag"), ROWS, STATUSES, AUTHORS),
    st.tuples(st.just("rename"), ROWS, STATUSES, AUTHORS),
    st.tuples(st.just("untag"), ROWS, STATUSES, AUTHORS),
    st.tuples(st.just("bulk"), ROWS, STATUSES, AUTHORS),
    st.tuples(st.just("edit"), ROWS, STATUSES, AUTHORS),
    st.tuples(st.just("raw"), ROWS, STATUSES, AUTHORS),
    st.tuples(st.just("many"), CONDITIONS, STATUSES, AUTHORS),
    st.tuples(st.just("rollback"), CONDITIONS, STATUSES, AUTHORS),
)


def form_of(found: QuerySet[Book, Any], form: str) -> Any:  # noqa: C901 - one case a form
    """Give a question one of the forms in which rows are read."""
    match form:
        case "tuples":
            return found.values_list("pk", "title", "status", "author__name", "stock")
        case "dicts":
            return found.values("pk", "editor__name", "price")
        case "related":
            return found.select_related("author", "editor")
        case "prefetched":
            return found.prefetch_related("tags", "author__rivals")
        case "only":
            return found.only("title", "stock")
        case "annotated":
            return found.annotate(n=Count("tags"), sum=F("stock") + F("views"))
        case "distinct":
            return found.distinct()
        case "grouped":
            return found.values("status", "author").annotate(n=Count("pk"), dear=Max("price"))
        case "subquery":
            return found.annotate(
                dearest=Subquery(
                    Book.objects.filter(author=OuterRef("author")).order_by("-price", "pk").values("title")[:1]
                )
            )
        case "exists":
            return found.filter(Exists(Book.tags.through.objects.filter(book=OuterRef("pk"), tag=BLUE)))
    return found


def ask(source: Callable[[], Any], where: Q, order: tuple[str, ...], part: slice, form: str, end: str) -> Any:
    """Ask a question of books, and return the answer as plain values."""
    found = form_of(source().filter(where), form)
    if form != "grouped":
        found = found.order_by(*order)
    if end == "in_bulk" and form not in ("tuples", "dicts", "grouped"):
        return shown(found.in_bulk([ONE, TWO, FOUR]))
    if end == "get":
        found = found.filter(pk=TWO)
        try:
            return shown(found.get())
        except (Book.DoesNotExist, Book.MultipleObjectsReturned) as error:
            return type(error).__name__
    if end in ("first", "last") and form != "grouped":
        return shown(getattr(found, end)())
    found = found[part]
    if end == "aggregate":
        return shown(found.aggregate(n=Count("pk"), most=Max("stock"), sum=Sum("views")))
    if end in ("count", "exists"):
        return getattr(found, end)()
    return [shown(one) for one in found] if form not in ("grouped", "distinct") else shown(found)


def write(kind: str, where: Any, status: str, author: int) -> None:  # noqa: C901 - one case a kind
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
        case "untag":
            for book in row:
                book.tags.clear()
        case "bulk":
            Book.objects.bulk_update([Book(pk=book.pk, status=status, stock=7) for book in row], ["status", "stock"])
        case "edit":
            row.update(editor=author, price=F("price") + 1)
        case "raw":
            with connection.cursor() as cursor:
                cursor.execute("UPDATE zoo_book SET status = %s WHERE author_id = %s", [status, author])
        case "many":
            Book.objects.bulk_create([Book(title=status, author_id=author, status=status) for _ in range(2)])
        case "rollback":
            with transaction.atomic():
                row.update(status=status, author=author)
                assert all(ask_cached() == ask_plain() for ask_cached, ask_plain in _both(Q(status=status)))
                transaction.set_rollback(True)


def _both(where: Q) -> Iterator[tuple[Callable[[], Any], Callable[[], Any]]]:
    question = (where, ("pk",), slice(None), "rows", "list")
    yield lambda: ask(cached_books, *question), lambda: ask(plain_books, *question)


def cached_books() -> Any:
    return CachedQuerySet(Book).cached(300)


def plain_books() -> Any:
    return QuerySet(Book)


ASKED = int(os.environ.get("CACHEKIT_RANDOM_QUERIES", "0"))
"""So many questions at least; a scaled number, always the same ones, where nobody says."""
EACH = 5


@pytest.mark.timeout(1200 if ASKED else 120)
@pytest.mark.django_db(transaction=True)
@settings(
    max_examples=ASKED // EACH or 24,
    deadline=None,
    derandomize=not ASKED,
    database=None,
    phases=(Phase.generate,),  # what failed is shown as it is: to make it smaller takes minutes
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
@given(
    questions=st.lists(QUESTIONS, min_size=EACH, max_size=EACH),
    writes=st.lists(WRITES, min_size=1, max_size=4),
)
def test_cached_answers_are_the_databases(questions: list[Any], writes: list[Any]) -> None:
    empty(connection)
    reset()
    populate()

    for deed in ((), *writes):
        if deed:
            write(*deed)
        for question in questions:
            plain = ask(plain_books, *question)
            for _ in range(2):
                assert ask(cached_books, *question) == plain
