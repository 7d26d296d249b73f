"""Every shape in which the ORM reads: each function returns plain values, in an order of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import (
    Avg,
    Case,
    Count,
    Exists,
    F,
    FilteredRelation,
    Lookup,
    Max,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import Coalesce, Lower, Rank

from tests.orm.world import (
    ADA,
    BLUE,
    BOX,
    CAFE,
    CLUB,
    LEAF,
    NONE,
    NOTE,
    ONE,
    PARK,
    PORT,
    RED,
    ROOT,
    SHELF,
    TWO,
)
from tests.zoo.models import (
    Author,
    Book,
    Club,
    Country,
    Folder,
    Membership,
    Note,
    Novel,
    Parcel,
    Place,
    Port,
    Restaurant,
    Shelf,
    Tag,
)


def titles(books: Iterable[Book]) -> list[str]:
    return sorted(book.title for book in books)


def flat(queryset: Any, *names: str) -> list[Any]:
    return sorted(queryset.values_list(*names), key=repr)


class Unlike(Lookup):
    """A lookup of the project's own."""

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        left, of_left = self.process_lhs(compiler, connection)
        right, of_right = self.process_rhs(compiler, connection)
        return f"{left} <> {right}", [*of_left, *of_right]


def _drafts() -> Any:
    return Book.objects.filter(author=OuterRef("pk"), status="draft")


SHAPES: dict[str, Callable[[], Any]] = {
    # rows
    "row": lambda: Book.objects.get(pk=ONE).title,
    "other row": lambda: flat(Book.objects.filter(pk=TWO), "title", "status", "author_id", "stock"),
    "row by text": lambda: flat(Book.objects.filter(pk=str(ONE)), "title", "status"),
    "no such row": lambda: flat(Book.objects.filter(pk=NONE), "title"),
    "rows": lambda: titles(Book.objects.filter(pk__in=[ONE, TWO])),
    "in_bulk": lambda: {pk: book.status for pk, book in Book.objects.in_bulk([ONE, NONE]).items()},
    "row and slice": lambda: flat(Book.objects.filter(pk=ONE, status="draft"), "title"),
    "deferred": lambda: [book.status for book in Book.objects.filter(pk=ONE).only("title")],
    "uuid": lambda: Parcel.objects.get(pk=BOX).weight,
    "natural key": lambda: flat(Country.objects.filter(pk="be"), "name"),
    "missing natural key": lambda: flat(Country.objects.filter(pk="de"), "name"),
    "proxy row": lambda: flat(Novel.objects.filter(pk=ONE), "title", "status"),
    # slices
    "slice": lambda: titles(Book.objects.filter(author=ADA)),
    "slice by status": lambda: flat(Book.objects.filter(status="draft"), "title", "stock"),
    "slice by two": lambda: titles(Book.objects.filter(author_id=ADA, status="draft")),
    "slice and title": lambda: titles(Book.objects.filter(status="draft", title="one")),
    "slices": lambda: titles(Book.objects.filter(status__in=["draft", "sold"])),
    "empty slice": lambda: titles(Book.objects.filter(status="sold")),
    "slice by instance": lambda: titles(Author(pk=ADA).books.all()),
    "slice of a slice": lambda: list(
        Book.objects.filter(status="out").order_by("-price").values_list("title", flat=True)[:1]
    ),
    "slice of a proxy": lambda: titles(Novel.objects.filter(status="draft")),
    "slice of a parent": lambda: flat(Place.objects.filter(city="Ghent"), "name"),
    "slice counted": lambda: Book.objects.filter(status="draft").count(),
    "slice exists": lambda: Book.objects.filter(status="sold").exists(),
    "slice summed": lambda: Book.objects.filter(author=ADA).aggregate(Sum("stock"), Max("title")),
    "slice, case ignored": lambda: titles(Book.objects.filter(status__iexact="DRAFT")),
    "not the slice": lambda: titles(Book.objects.exclude(status="draft")),
    "one slice or another": lambda: titles(Book.objects.filter(Q(status="draft") | Q(author=ADA))),
    "one or the other": lambda: titles(Book.objects.filter(Q(status="draft") ^ Q(author=ADA))),
    "not (a and b)": lambda: titles(Book.objects.filter(~Q(status="draft", author=ADA))),
    # tables
    "table": lambda: flat(Book.objects.all(), "title", "price", "views"),
    "range": lambda: titles(Book.objects.filter(price__gt=5)),
    "null": lambda: titles(Book.objects.filter(editor__isnull=True)),
    "expression": lambda: titles(Book.objects.filter(stock__lt=F("views"))),
    "distinct": lambda: sorted(Book.objects.values_list("status", flat=True).distinct()),
    "grouped": lambda: flat(Book.objects.values("status").annotate(n=Count("pk")), "status", "n"),
    "dates": lambda: list(Book.objects.dates("published", "month")),
    "latest": lambda: Book.objects.latest("price").title,
    "iterator": lambda: sorted(book.title for book in Book.objects.iterator(chunk_size=2)),
    "window": lambda: flat(Book.objects.annotate(rank=Window(Rank(), order_by="price")).filter(rank=1), "title"),
    "case": lambda: flat(
        Book.objects.annotate(kind=Case(When(status="out", then=Value("sold")), default=Lower("title"))), "kind"
    ),
    "raw": lambda: titles(Book.objects.raw("SELECT * FROM zoo_book WHERE stock > %s", [0])),
    "extra": lambda: titles(Book.objects.extra(where=["stock > 0"], order_by=["title"])),
    "own lookup": lambda: titles(Book.objects.filter(status="draft").filter(Unlike(F("stock"), 1))),
    "own queryset": lambda: flat(Shelf.objects.open(), "name"),
    # forward relations
    "forward": lambda: Book.objects.get(pk=ONE).author.name,
    "select_related": lambda: sorted(
        (book.author.name, book.editor.name if book.editor else "")
        for book in Book.objects.filter(status="draft").select_related("author", "editor")
    ),
    "row with select_related": lambda: Book.objects.select_related("author").get(pk=ONE).author.name,
    "ordered by a relation": lambda: list(
        Book.objects.order_by("author__name", "title").values_list("title", flat=True)
    ),
    "filtered by a relation": lambda: titles(Book.objects.filter(author__name="Ada")),
    "slice joined": lambda: titles(Book.objects.filter(status="draft", author__name="Ada")),
    "excluded by a relation": lambda: titles(Book.objects.exclude(editor__name="Bob")),
    "value of a relation": lambda: flat(Book.objects.filter(pk=ONE), "author__name", "editor__email"),
    "relation of a relation": lambda: flat(Port.objects.filter(pk=PORT), "country__name"),
    "to_field": lambda: flat(Port.objects.filter(favourite__name="red"), "pk"),
    "to_field row": lambda: getattr(Port.objects.get(pk=PORT).favourite, "pk", None),
    "to_field reversed": lambda: flat(Tag.objects.filter(port__country="be"), "name"),
    "parent of itself": lambda: flat(Folder.objects.filter(parent__name="root"), "name"),
    "children of itself": lambda: flat(Folder(pk=ROOT).children.all(), "name"),
    "itself with its parent": lambda: flat(Folder.objects.filter(pk=LEAF), "name", "parent__name"),
    # backward relations
    "backward": lambda: flat(Author.objects.filter(books__title="one"), "name"),
    "backward, excluded": lambda: flat(Author.objects.exclude(books__status="draft"), "name"),
    "prefetch": lambda: sorted((author.name, titles(author.books.all())) for author in _with_books()),
    "prefetch in chunks": lambda: sorted(
        (author.name, titles(author.books.all())) for author in _with_books().iterator(chunk_size=2)
    ),
    "prefetch to a list": lambda: [
        titles(author.drafts)
        for author in Author.objects.filter(pk=ADA).prefetch_related(
            Prefetch("books", Book.objects.filter(status="draft"), to_attr="drafts")
        )
    ],
    "one to one, backward": lambda: [
        book.cover.colour if hasattr(book, "cover") else "" for book in Book.objects.filter(pk__in=[ONE])
    ],
    "profile": lambda: flat(Author.objects.filter(pk=ADA), "profile__bio"),
    "counted relation": lambda: flat(Author.objects.annotate(n=Count("books")), "name", "n"),
    "row with a counted relation": lambda: flat(Author.objects.filter(pk=ADA).annotate(n=Count("books")), "n"),
    "slice with a counted relation": lambda: flat(
        Book.objects.filter(status="draft").annotate(n=Count("tags")), "title", "n"
    ),
    "having": lambda: flat(Author.objects.annotate(n=Count("books")).filter(n__gt=1), "name"),
    "filtered relation": lambda: flat(
        Author.objects.annotate(drafts=FilteredRelation("books", condition=Q(books__status="draft"))).filter(
            drafts__price__lt=5
        ),
        "name",
    ),
    # many to many
    "tags of a row": lambda: flat(Book(pk=ONE).tags.all(), "name"),
    "rows of a tag": lambda: titles(Tag(pk=BLUE).books.all()),
    "by tag": lambda: titles(Book.objects.filter(tags__name="red")),
    "by tag's key": lambda: titles(Book.objects.filter(tags=RED)),
    "without tags": lambda: titles(Book.objects.filter(tags__isnull=True)),
    "prefetched tags": lambda: sorted(
        (book.title, sorted(tag.name for tag in book.tags.all())) for book in Book.objects.prefetch_related("tags")
    ),
    "members": lambda: flat(Club(pk=CLUB).members.all(), "name"),
    "members by role": lambda: flat(Author.objects.filter(membership__role="chair"), "name"),
    "clubs": lambda: flat(Club.objects.filter(members__name="Ada"), "name"),
    "roles": lambda: flat(Membership.objects.filter(club=CLUB), "author__name", "role"),
    "rivals": lambda: flat(Author(pk=ADA).rivals.all(), "name"),
    "holdings": lambda: titles(Shelf(pk=SHELF).books.all()),
    # generic relations
    "notes": lambda: flat(Book(pk=ONE).notes.all(), "text"),
    "by note": lambda: titles(Book.objects.filter(notes__text="nice")),
    "subject": lambda: str(Note.objects.get(pk=NOTE).subject) if Note.objects.filter(pk=NOTE).exists() else "",
    "notes by type": lambda: flat(Note.objects.filter(content_type=ContentType.objects.get_for_model(Book)), "text"),
    # inheritance
    "child": lambda: flat(Restaurant.objects.filter(pk=CAFE), "name", "city", "stars"),
    "children by a parent's index": lambda: flat(Restaurant.objects.filter(city="Ghent"), "name"),
    "children by their own": lambda: flat(Restaurant.objects.filter(stars=1), "name"),
    "parent": lambda: flat(Place.objects.filter(pk=CAFE), "name", "city"),
    "parents by child": lambda: flat(Place.objects.filter(restaurant__stars__gt=0), "name"),
    "childless parent": lambda: hasattr(Place(pk=PARK), "restaurant"),
    # queries in queries
    "subquery": lambda: flat(
        Author.objects.annotate(dear=Subquery(_drafts().order_by("-price").values("title")[:1])), "name", "dear"
    ),
    "row with a subquery": lambda: flat(
        Author.objects.filter(pk=ADA).annotate(dear=Coalesce(Subquery(_drafts().values("title")[:1]), Value(""))),
        "dear",
    ),
    "exists": lambda: flat(Author.objects.filter(Exists(_drafts())), "name"),
    "not exists": lambda: flat(Author.objects.filter(~Exists(_drafts()), pk=ADA), "name"),
    "in": lambda: flat(Author.objects.filter(pk__in=Book.objects.filter(status="draft").values("author")), "name"),
    "not in": lambda: flat(Author.objects.exclude(pk__in=Book.objects.filter(status="out").values("author")), "name"),
    "union": lambda: sorted(
        book.title for book in Book.objects.filter(status="draft").union(Book.objects.filter(author=ADA))
    ),
    "difference": lambda: sorted(
        book.title for book in Book.objects.filter(author=ADA).difference(Book.objects.filter(status="draft"))
    ),
    "aggregate of an aggregate": lambda: Author.objects.annotate(n=Count("books")).aggregate(Avg("n")),
    "aggregate of a slice": lambda: Book.objects.order_by("price")[:2].aggregate(Sum("price")),
    "aggregate over a relation": lambda: Book.objects.filter(status="draft").aggregate(n=Count("tags", distinct=True)),
    "aggregate of an exists": lambda: Author.objects.filter(Exists(_drafts())).count(),
}


def _with_books() -> Any:
    return Author.objects.prefetch_related("books")
