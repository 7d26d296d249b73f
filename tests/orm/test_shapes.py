"""Equal structure means equal SQL; what is not known exactly has no shape."""

from __future__ import annotations

import copy
import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import EmptyResultSet, FieldError
from django.db.models import Case, Count, Exists, F, OuterRef, Prefetch, Q, QuerySet, Subquery, TextChoices, Value, When
from django.db.models.functions import Lower
from hypothesis import given, settings, strategies as st

from cachekit import CachedQuerySet
from cachekit.orm.shapes import shape_of
from tests.zoo.kept import Coin, Sheet
from tests.zoo.models import Author, Book, Folder, Novel, Port, Restaurant

DAY = datetime.date(2020, 1, 31)
MOMENT = datetime.datetime(2020, 1, 31, tzinfo=datetime.UTC)

CONDITIONS: list[Q] = [
    Q(pk=1),
    Q(pk="1"),
    Q(pk=True),
    Q(pk=2),
    Q(pk__in=[1, 2]),
    Q(pk__in=[2, 1]),
    Q(pk__in=[12]),
    Q(pk__in=[]),
    Q(title="1"),
    Q(title="2"),
    Q(title="a', 'b"),
    Q(title__in=["a", "b"]),
    Q(title__in=["a', 'b"]),
    Q(title__iexact="a"),
    Q(title__contains="a"),
    Q(title__contains="a%"),
    Q(title__startswith="a"),
    Q(author=1),
    Q(author_id=1),
    Q(author__pk=1),
    Q(author__name="a"),
    Q(author__email="a"),
    Q(editor__name="a"),
    Q(editor=None),
    Q(editor__isnull=True),
    Q(editor__isnull=False),
    Q(editor__name=None),
    Q(tags=1),
    Q(tags__name="a"),
    Q(price__gt=3),
    Q(price__gte=3),
    Q(price=Decimal(3)),
    Q(price=Decimal("3.0")),
    Q(price__range=(1, 2)),
    Q(price__range=(2, 1)),
    Q(stock__lt=1.5),
    Q(stock=2**70),
    Q(published=DAY),
    Q(published__year=2020),
    Q(published__lt=DAY),
    Q(title=F("status")),
    Q(title=Value("1")),
    Q(author__in=Author.objects.filter(name="a")),
]
conditions = st.integers(0, len(CONDITIONS) - 1).map(lambda at: CONDITIONS[at])  # one of them shows its rows in repr
combined = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: two[0] & two[1]),
        st.tuples(inner, inner).map(lambda two: two[0] | two[1]),
        inner.map(lambda one: ~one),
    ),
    max_leaves=3,
)
Step = Callable[[Any], Any]
steps: st.SearchStrategy[Step] = st.one_of(
    combined.map(lambda q: lambda rows: rows.filter(q)),
    combined.map(lambda q: lambda rows: rows.exclude(q)),
    st.sampled_from(
        [
            lambda rows: rows.order_by("title"),
            lambda rows: rows.order_by("-title", "pk"),
            lambda rows: rows.order_by("author"),
            lambda rows: rows.order_by("author_id"),
            lambda rows: rows.order_by("author__name"),
            lambda rows: rows.order_by("?"),
            lambda rows: rows.order_by(),
            lambda rows: rows.reverse(),
            lambda rows: rows.distinct(),
            lambda rows: rows.only("title"),
            lambda rows: rows.only("title", "status"),
            lambda rows: rows.defer("title"),
            lambda rows: rows.select_related("author"),
            lambda rows: rows.select_related("editor"),
            lambda rows: rows.annotate(n=Count("tags")),
            lambda rows: rows.alias(n=Lower("title")),
            lambda rows: rows.extra(where=["1=1"]),
            lambda rows: rows.none(),
        ]
    ),
)
ends: st.SearchStrategy[Step] = st.sampled_from(
    [
        lambda rows: rows,
        lambda rows: rows[:2],
        lambda rows: rows[2:4],
        lambda rows: rows[:4][2:],
        lambda rows: rows.values("title"),
        lambda rows: rows.values("title", "author__name"),
        lambda rows: rows.values_list("author__name", "title"),
        lambda rows: rows.values_list("title", flat=True),
        lambda rows: rows.prefetch_related("tags"),
        lambda rows: rows.prefetch_related("author"),
    ]
)


PLAINLY: list[Step] = [
    lambda rows: rows.filter(status="draft"),
    lambda rows: rows.filter(status="1"),
    lambda rows: rows.filter(stock=1),
    lambda rows: rows.filter(stock=True),
    lambda rows: rows.filter(pk__in=[1, 2]),
    lambda rows: rows.filter(pk__in=(2, 1)),
    lambda rows: rows.filter(price=Decimal("1.0")),
    lambda rows: rows.filter(price=1),
    lambda rows: rows.filter(author__name="a", editor=None),
    lambda rows: rows.exclude(status="draft"),
    lambda rows: rows.exclude(tags=1),
    lambda rows: rows.filter(published=DAY),
    lambda rows: rows.order_by("title", "-pk"),
    lambda rows: rows.order_by(),
    lambda rows: rows[:3],
    lambda rows: rows[1:],
]


class Recipe:
    """How to make a queryset; shown without asking the database."""

    def __init__(self, model: Any, some: list[Step], end: Step) -> None:
        self.model, self.steps = model, [*some, end]

    def __repr__(self) -> str:
        return str(told(self.made()))

    def made(self, found: Any = None) -> Any:
        found = QuerySet(self.model) if found is None else found
        for step in self.steps:
            try:
                found = step(found)
            except TypeError:  # such as select_related() after values()
                continue
        return found


recipes = st.builds(Recipe, st.sampled_from([Book, Novel]), st.lists(steps, max_size=3), ends)


def told(queryset: Any) -> Any:
    """Return what a queryset asks the database, and what becomes of the rows."""
    query = queryset.query.clone()
    try:
        sql, params = query.get_compiler("default").as_sql()
    except EmptyResultSet:
        return "nothing"
    except FieldError as error:  # such as only() without the foreign key that select_related() follows
        return str(error)
    related = (queryset._iterable_class, queryset._fields, queryset._prefetch_related_lookups, queryset.model)
    return sql, tuple((type(one), one) for one in params), related, query.values_select


@given(st.lists(recipes, min_size=2, max_size=8))
@settings(max_examples=100, deadline=None)
def test_equal_shapes_mean_equal_sql(some: list[Recipe]) -> None:
    by_shape: dict[str, Any] = {}

    for one in (recipe.made() for recipe in some):
        shape = shape_of(one)
        if shape is not None:
            assert repr(shape_of(one._chain())) == repr(shape)
            assert by_shape.setdefault(repr(shape), told(one)) == told(one)


@given(
    st.sampled_from([Book, Novel]),
    st.lists(st.one_of(st.sampled_from(PLAINLY), steps), max_size=4),
    st.one_of(st.sampled_from(PLAINLY), ends),
)
@settings(max_examples=150, deadline=None)
def test_calls_made_before_make_the_same_query(model: Any, some: list[Step], end: Step) -> None:
    recipe = Recipe(model, some, end)

    expected = told(recipe.made())

    for _ in range(3):
        again = recipe.made(CachedQuerySet(model).cached(60))
        calls = again._cachekit_told
        assert told(again) == expected
        assert told(recipe.made(CachedQuerySet(model).cached(60))._chain()) == expected
        assert again._cachekit_told is None or calls is None, "who has seen the query may have changed it"


def test_a_series_of_calls_is_known_the_second_time_and_only_with_the_same_values() -> None:
    def rows(value: Any) -> Any:
        return CachedQuerySet(Book).cached(60).filter(stock=value).order_by("title")[:20]

    rows(7)

    assert rows(7)._query is None
    assert rows(True)._query is not None
    assert rows(8)._query is not None
    changed = rows(7)
    changed.query.add_ordering("pk")
    assert changed._cachekit_told is None
    assert told(copy.deepcopy(rows(7))) == told(rows(7)._chain())
    keys = [1, 2]
    for _ in range(2):
        asked = CachedQuerySet(Book).cached(60).filter(pk__in=keys)
    keys.append(3)
    assert told(asked)[1] == told(QuerySet(Book).filter(pk__in=[1, 2]))[1]
    with pytest.raises(FieldError):
        CachedQuerySet(Book).cached(60).filter(nothing=1)
    with pytest.raises(TypeError, match="slice"):
        rows(7).filter(stock=1)


def test_every_pair_of_conditions_is_told_apart_as_sql_does() -> None:
    by_shape: dict[str, Any] = {}
    known = 0
    for q in [*CONDITIONS, *(~q for q in CONDITIONS)]:
        queryset: Any = QuerySet(Book).filter(q)
        shape = shape_of(queryset)
        known += shape is not None
        if shape is not None:
            assert by_shape.setdefault(repr(shape), told(queryset)) == told(queryset)

    assert known > len(CONDITIONS) * 1.2


class Mood(TextChoices):
    DRAFT = "draft"


@pytest.mark.parametrize(
    "build",
    [
        Book.objects.all,
        lambda: Book.objects.filter(status="draft").order_by("title")[:20],
        lambda: Book.objects.filter(status=Mood.DRAFT),
        lambda: Book.objects.filter(author__name="a").exclude(editor=None),
        lambda: Book.objects.filter(tags__in=[1, 2]).distinct(),
        lambda: Book.objects.select_related("author").only("title"),
        lambda: Restaurant.objects.filter(name="a", stars__gt=1).order_by("name"),
        lambda: Port.objects.filter(country="be", favourite__name="red"),
        lambda: Folder.objects.filter(parent__parent=1),
        lambda: Sheet.objects.filter(code=uuid.uuid4(), at__lt=MOMENT, span=datetime.timedelta(1)),
        lambda: Author(pk=1).books.filter(stock=1),
    ],
)
def test_common_querysets_have_a_shape(build: Callable[[], Any]) -> None:
    assert shape_of(build()) is not None


@pytest.mark.parametrize(
    "build",
    [
        lambda: Book.objects.order_by("?"),
        lambda: Book.objects.order_by("author"),
        lambda: Book.objects.order_by(F("title")),
        lambda: Book.objects.annotate(n=Count("tags")),
        lambda: Book.objects.filter(title=F("status")),
        lambda: Book.objects.filter(Exists(Author.objects.filter(pk=OuterRef("author")))),
        lambda: Book.objects.filter(author__in=Author.objects.all()),
        lambda: Book.objects.filter(pk=Subquery(Book.objects.values("pk")[:1])),
        lambda: Book.objects.order_by(Case(When(pk=1, then=0), default=1)),
        lambda: Book.objects.filter(notes__text="a"),
        lambda: Book.objects.prefetch_related(Prefetch("tags")),
        lambda: Book.objects.annotate(n=Value(1)),
        lambda: Book.objects.extra(where=["1=1"]),
        Book.objects.none,
        lambda: Book.objects.filter(pk__in=[]),
        lambda: Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)),
        Book.objects.select_for_update,
        lambda: Coin.objects.filter(worth=3),
    ],
)
def test_what_is_not_known_exactly_has_none(build: Callable[[], Any]) -> None:
    assert shape_of(build()) is None
