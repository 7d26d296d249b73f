"""Questions for the doors of querysets: how each is asked, called and awaited, and what its answer hangs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.db.models import Count, Exists, F, Max, Model, OuterRef, Prefetch, Q, Subquery, Sum

from tests.orm.world import ADA, BOX, CAFE, NONE, ONE, RED, TWO
from tests.zoo.models import Author, Book, Country, Folder, Novel, Parcel, Place, Port, Restaurant, Tag

Source = Callable[[Any], Any]
"""Gives all rows of a model: plainly, from the cache, or from rows that are kept."""


class Question(NamedTuple):
    """A queryset, and what is asked of it in the end: its rows if that is not said."""

    reads: str
    ask: Callable[[Source], Any]
    end: str = ""
    args: tuple[Any, ...] = ()
    named: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it

    def called(self, source: Source) -> Any:
        """Return the answer as plain values."""
        found = self.ask(source)
        return shown(getattr(found, self.end)(*self.args, **self.named) if self.end else list(found))

    async def awaited(self, source: Source) -> Any:
        """Like `called`."""
        found = self.ask(source)
        if self.end:
            return shown(await getattr(found, f"a{self.end}")(*self.args, **self.named))
        return shown([one async for one in found])


def shown(answer: Any) -> Any:
    """Return plain values for what instances hold, what was fetched with them too."""
    if isinstance(answer, Model):
        held = {key: shown(value) for key, value in vars(answer).items() if not key.startswith("_")}
        fetched = {**answer._state.fields_cache, **getattr(answer, "_prefetched_objects_cache", {})}
        return {**held, **{f"{key}.": shown(value) for key, value in fetched.items() if value is not answer}}
    if isinstance(answer, dict):
        return {key: shown(value) for key, value in answer.items()}
    if isinstance(answer, (str, bytes)) or not hasattr(answer, "__iter__"):
        return answer
    rows = [shown(one) for one in answer]
    return sorted(rows, key=repr)


def _drafts(of: Source) -> Any:
    return of(Book).filter(author=OuterRef("pk"), status="draft")


QUESTIONS: dict[str, Question] = {
    "all": Question("book", lambda of: of(Book)),
    "slice": Question("book?status=draft", lambda of: of(Book).filter(status="draft")),
    "slice in order": Question("book?author=ADA", lambda of: of(Book).filter(author=ADA).order_by("-price")[:1]),
    "slices": Question("book?status=draft book?status=sold", lambda of: of(Book).filter(status__in=["draft", "sold"])),
    "row": Question("book#ONE", lambda of: of(Book).filter(pk=ONE)),
    "no row": Question("book#NONE", lambda of: of(Book).filter(pk=NONE)),
    "rows": Question("book#ONE book#TWO", lambda of: of(Book).filter(pk__in=[ONE, TWO])),
    "proxies": Question("book?status=draft", lambda of: of(Novel).filter(status="draft")),
    "a text key": Question("country#be", lambda of: of(Country).filter(pk="be")),
    "a uuid": Question("parcel#BOX", lambda of: of(Parcel).filter(pk=BOX)),
    "children": Question("place restaurant", lambda of: of(Restaurant).filter(city="Ghent")),
    "a parent's slice": Question("place?city=ghent", lambda of: of(Place).filter(city="Ghent")),
    "only": Question("book?status=draft", lambda of: of(Book).filter(status="draft").only("title")),
    "defer": Question("book#ONE", lambda of: of(Book).filter(pk=ONE).defer("title")),
    "values": Question("book?status=draft", lambda of: of(Book).filter(status="draft").values("title", "stock")),
    "values_list": Question("author book", lambda of: of(Book).values_list("title", "author__name")),
    "flat": Question("book?author=ADA", lambda of: of(Book).filter(author=ADA).values_list("title", flat=True)),
    "named": Question("book#ONE", lambda of: of(Book).filter(pk=ONE).values_list("title", "stock", named=True)),
    "distinct": Question("book", lambda of: of(Book).values("status").distinct()),
    "dates": Question("book", lambda of: of(Book).dates("published", "month")),
    "select_related": Question("author book#ONE", lambda of: of(Book).filter(pk=ONE).select_related("author")),
    "prefetch": Question(
        "author book?author=ADA book?author=BOB book?author=EVE", lambda of: of(Author).prefetch_related("books")
    ),
    "prefetch of some": Question(
        "author#ADA book?author=ADA",
        lambda of: (
            of(Author)
            .filter(pk=ADA)
            .prefetch_related(Prefetch("books", Book.objects.filter(status="draft"), to_attr="drafts"))
        ),
    ),
    "prefetch of tags": Question("book#ONE book_tags tag", lambda of: of(Book).filter(pk=ONE).prefetch_related("tags")),
    "joined": Question("author book", lambda of: of(Book).filter(author__name="Ada")),
    "excluded": Question("author book", lambda of: of(Book).exclude(editor__name="Bob")),
    "either": Question("book", lambda of: of(Book).filter(Q(status="draft") | Q(author=ADA))),
    "by tag": Question("book book_tags", lambda of: of(Book).filter(tags=RED)),
    "annotated": Question("author book", lambda of: of(Author).annotate(n=Count("books")).values_list("name", "n")),
    "slice annotated": Question(
        "book?status=draft book_tags",
        lambda of: of(Book).filter(status="draft").annotate(n=Count("tags")).values_list("title", "n"),
    ),
    "expression": Question("book", lambda of: of(Book).filter(stock__lt=F("views"))),
    "subquery": Question(
        "author book?status=draft", lambda of: of(Author).annotate(dear=Subquery(_drafts(of).values("title")[:1]))
    ),
    "exists in it": Question("author book?status=draft", lambda of: of(Author).filter(Exists(_drafts(of)))),
    "in": Question(
        "author book?status=draft",
        lambda of: of(Author).filter(pk__in=of(Book).filter(status="draft").values("author")),
    ),
    "union": Question(
        "book?author=ADA book?status=draft",
        lambda of: (
            of(Book).filter(status="draft").values_list("title").union(of(Book).filter(author=ADA).values_list("title"))
        ),
    ),
    "extra": Question("book", lambda of: of(Book).extra(where=["stock > 0"])),
    "self": Question("folder", lambda of: of(Folder).filter(parent__name="root")),
    "to_field": Question("port", lambda of: of(Port).filter(favourite="red")),
    "get": Question("book#ONE", lambda of: of(Book), "get", (), {"pk": ONE}),
    "get no row": Question("book#NONE", lambda of: of(Book), "get", (), {"pk": NONE}),
    "get by two": Question("book#ONE", lambda of: of(Book).filter(status="draft"), "get", (), {"pk": ONE}),
    "in_bulk": Question("book#ONE book#TWO", lambda of: of(Book), "in_bulk", ([ONE, TWO],)),
    "in_bulk by name": Question("tag", lambda of: of(Tag), "in_bulk", (["red"],), {"field_name": "name"}),
    "first": Question("book?status=out", lambda of: of(Book).filter(status="out").order_by("price"), "first"),
    "last": Question("book?status=out", lambda of: of(Book).filter(status="out").order_by("price"), "last"),
    "earliest": Question("book", lambda of: of(Book), "earliest", ("price",)),
    "latest": Question("book?author=ADA", lambda of: of(Book).filter(author=ADA), "latest", ("price",)),
    "count": Question("book?status=draft", lambda of: of(Book).filter(status="draft"), "count"),
    "count of a child": Question("place restaurant#CAFE", lambda of: of(Restaurant).filter(pk=CAFE, stars=1), "count"),
    "exists": Question("book?status=sold", lambda of: of(Book).filter(status="sold"), "exists"),
    "contains": Question("book#ONE", lambda of: of(Book), "contains", (Book(pk=ONE),)),
    "aggregate": Question(
        "book?author=ADA",
        lambda of: of(Book).filter(author=ADA),
        "aggregate",
        (),
        {"n": Sum("stock"), "top": Max("title"), "twice": F("n") * 2},
    ),
    "aggregate of an aggregate": Question(
        "author book", lambda of: of(Author).annotate(n=Count("books")), "aggregate", (), {"most": Max("n")}
    ),
}

ROWS: dict[str, Question] = {
    "row": QUESTIONS["get"],
    "no row": QUESTIONS["get no row"],
    "a text key": Question("country#be", lambda of: of(Country), "get", (), {"pk": "be"}),
    "a uuid": Question("parcel#BOX", lambda of: of(Parcel), "get", (), {"pk": BOX}),
    "a child": Question("place#CAFE restaurant#CAFE", lambda of: of(Restaurant), "get", (), {"pk": CAFE}),
    "a proxy": Question("book#TWO", lambda of: of(Novel), "get", (), {"pk": TWO}),
    "rows": QUESTIONS["in_bulk"],
}
"""Those that the cache of rows answers."""
