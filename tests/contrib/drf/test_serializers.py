"""What a serializer made of an object is shown again for an object that holds the same, and for no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.db.models import Count
from django.utils import translation
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from cachekit import hooks, invalidate, uncached
from cachekit.contrib.drf import CachedSerializerMixin, cached_response
from tests.zoo.builders import make_author, make_book
from tests.zoo.models import Author, Book, Note, Tag

pytestmark = pytest.mark.django_db(transaction=True)
MADE: list[str] = []


class Authors(CachedSerializerMixin, serializers.ModelSerializer[Author]):
    """Authors, kept."""

    shout = serializers.SerializerMethodField()

    class Meta:
        model = Author
        fields = ("id", "name", "shout")

    def get_shout(self, author: Author) -> str:
        """Note that it is made."""
        MADE.append(author.name)
        return author.name.upper()


class Books(CachedSerializerMixin, serializers.ModelSerializer[Book]):
    """Books with their authors, both kept."""

    author = Authors()
    tags: Any = serializers.SlugRelatedField(slug_field="name", many=True, read_only=True)
    notes = serializers.SerializerMethodField()

    class Meta:
        model = Book
        fields = ("id", "title", "author", "tags", "notes")

    def get_notes(self, book: Book) -> int:
        """Count what stands in another table."""
        MADE.append(book.title)
        return Note.objects.filter(object_id=str(book.pk)).count()


class Plain(serializers.ModelSerializer[Book]):
    """Books that are not kept, whose authors are."""

    author = Authors()

    class Meta:
        model = Book
        fields = ("id", "author")


class Personal(CachedSerializerMixin, serializers.ModelSerializer[Author]):
    """Says who asks."""

    hello = serializers.SerializerMethodField()

    class Meta:
        model = Author
        fields = ("name", "hello")

    def get_hello(self, author: Author) -> str:
        """Name the visitor."""
        MADE.append("hello")
        return str(self.context["request"].user)


class Each(Personal):
    """Says who asks, to each."""

    cache_vary: ClassVar[tuple[str, ...]] = ("user",)


class Rights(Personal):
    """Shows what the visitor may do."""

    cache_vary: ClassVar[tuple[str, ...]] = ("permissions",)

    def get_hello(self, author: Author) -> str:
        """Ask for a permission."""
        MADE.append(author.name)
        return str(self.context["request"].user.has_perm("zoo.add_book"))


class Chosen(CachedSerializerMixin, serializers.ModelSerializer[Author]):
    """Has the fields that the visitor wants."""

    class Meta:
        model = Author
        fields = ("id", "name", "email")

    def get_fields(self) -> Any:
        """Leave out what is not wanted."""
        MADE.append("fields")
        wanted = self.context["request"].query_params.get("fields", "")
        return {name: field for name, field in super().get_fields().items() if name in wanted.split(",")}


class OfView(Personal):
    """Asks for the view."""

    def get_hello(self, author: Author) -> str:
        """Ask."""
        return type(self.context["view"]).__name__


class Linked(CachedSerializerMixin, serializers.HyperlinkedModelSerializer[Book]):
    """Links to itself."""

    class Meta:
        model = Book
        fields = ("url", "title")
        extra_kwargs: ClassVar[dict[str, Any]] = {"url": {"view_name": "book-detail"}}


class Own(Authors):
    """Adds to what is kept, each time."""

    def to_representation(self, instance: Author) -> Any:
        """Add."""
        return {**super().to_representation(instance), "own": len(MADE)}


@pytest.fixture(autouse=True)
def _nothing_made(_api: None) -> None:
    MADE.clear()


def asked(user: Any = None, path: str = "/", **extra: Any) -> dict[str, Any]:
    """Return a context as a view makes it."""
    request = APIView().initialize_request(APIRequestFactory().get(path, **extra))
    request.user = user
    return {"request": request, "view": APIView(), "format": None}


def made(kind: Any, instance: Any, **options: Any) -> Any:
    """Return the data, and forget what was made before."""
    MADE.clear()
    return kind(instance, **options).data


@contextmanager
def round_trips(expected: int) -> Iterator[None]:
    """Count exchanges with the store."""
    from cachekit.stores import store_for

    store: Any = store_for("default")
    count, do = 0, store.do

    def counted(step: Any) -> Any:
        nonlocal count
        count += 1
        return do(step)

    store.do = counted
    try:
        yield
    finally:
        del store.do
    assert count == expected


def test_an_object_is_made_once(django_assert_num_queries: Any) -> None:
    author = make_author("Ada")
    first = made(Authors, author)

    with django_assert_num_queries(0):
        again = made(Authors, author)

    assert again == first == {"id": author.pk, "name": "Ada", "shout": "ADA"}
    assert MADE == []


def test_a_list_is_one_round_trip_and_makes_what_is_missing() -> None:
    authors = [make_author(f"a{n}") for n in range(50)]
    made(Authors, authors[:49], many=True)

    data = made(Authors, authors, many=True)
    assert MADE == ["a49"]
    with round_trips(1):
        again = made(Authors, [*Author.objects.order_by("pk"), authors[0]], many=True)

    assert MADE == []
    assert again[:50] == data == [{"id": one.pk, "name": one.name, "shout": one.name.upper()} for one in authors]
    assert again[50] == data[0]
    assert made(Authors, Author.objects.none(), many=True) == []


def test_a_row_that_changes_is_made_anew_and_no_other() -> None:
    ada, bob = make_author("Ada"), make_author("Bob")
    made(Authors, [ada, bob], many=True)

    Author.objects.filter(pk=ada.pk).update(name="Grace")

    assert [one["name"] for one in made(Authors, Author.objects.order_by("pk"), many=True)] == ["Grace", "Bob"]
    assert MADE == ["Grace"]


def test_a_stale_instance_is_never_kept_as_fresh() -> None:
    stale = make_author("old")
    made(Authors, stale)
    Author.objects.filter(pk=stale.pk).update(name="new")

    for _ in range(2):
        assert made(Authors, stale)["name"] == "old"  # as ever: this is what the object holds
        assert made(Authors, Author.objects.get())["name"] == "new"


def test_what_is_read_beside_the_object_is_captured() -> None:
    book = Book.objects.select_related("author").prefetch_related("tags").get(pk=make_book("b").pk)
    assert made(Books, book)["notes"] == 0
    assert made(Books, book)["notes"] == 0
    assert MADE == []

    from django.contrib.contenttypes.models import ContentType

    Note.objects.create(text="n", object_id=str(book.pk), content_type=ContentType.objects.get_for_model(Book))

    assert made(Books, book)["notes"] == 1
    assert MADE == ["b"]  # its author was not made again


@pytest.mark.parametrize("fetched", [True, False])
def test_related_objects_count_whether_they_were_fetched_before_or_not(fetched: bool) -> None:
    pk, tag = make_book("b", author=make_author("Ada")).pk, Tag.objects.create(name="old")
    Book.objects.get().tags.add(tag)

    def shown() -> tuple[str, list[str]]:
        books = Book.objects.select_related("author").prefetch_related("tags") if fetched else Book.objects
        data = made(Books, books.get(pk=pk))
        return data["author"]["name"], data["tags"]

    assert [shown(), shown()] == [("Ada", ["old"])] * 2
    assert MADE == []
    Author.objects.update(name="Grace")
    assert [shown(), shown()] == [("Grace", ["old"])] * 2
    Tag.objects.update(name="new")
    assert [shown(), shown()] == [("Grace", ["new"])] * 2
    Book.objects.get().tags.clear()
    assert [shown(), shown()] == [("Grace", [])] * 2


def test_nested_objects_are_kept_by_themselves() -> None:
    author = make_author("Ada")
    for n in range(5):
        make_book(f"b{n}", author=author)
    books = Book.objects.select_related("author").prefetch_related("tags")
    made(Books, books.all(), many=True)
    assert MADE.count("Ada") == 1

    Book.objects.filter(title="b0").update(title="x")
    made(Books, books.all(), many=True)
    assert MADE == ["x"]
    made(Plain, books.all(), many=True)
    assert MADE == []


def test_annotations_and_deferred_columns_make_a_difference() -> None:
    make_book("b")
    for authors in (Author.objects.only("id", "name"), Author.objects.annotate(n=Count("books")), Author.objects.all()):
        made(Authors, authors.get())
        assert len(MADE) == 1
        made(Authors, authors.get())
        assert MADE == []


def test_what_asks_who_is_there_is_kept_for_each_or_not_at_all(alice: User, bob: User) -> None:
    ada = make_author("Ada")
    reasons: list[str] = []

    def note(event: hooks.Refused) -> None:
        reasons.append(event.reason)

    hooks.subscribe(hooks.Refused, note)
    try:
        for person in (alice, bob, alice):
            assert made(Personal, ada, context=asked(person))["hello"] == person.username
            assert MADE == ["hello"]
    finally:
        hooks.unsubscribe(hooks.Refused, note)
    assert reasons == ["it asks for request's user: declare cache_vary=('user',)"] * 3
    for expected in (["hello"], []):
        for person in (alice, bob):
            assert made(Each, ada, context=asked(person))["hello"] == person.username
            assert expected == MADE


def test_those_with_the_same_permissions_share(alice: User, bob: User) -> None:
    ada, carol = make_author("Ada"), User.objects.create_user("carol")
    carol.user_permissions.add(Permission.objects.get(codename="add_book"))

    shown = [(made(Rights, ada, context=asked(one))["hello"], len(MADE)) for one in (alice, bob, carol)]

    assert shown == [("False", 1), ("False", 0), ("True", 1)]


@pytest.mark.parametrize(("kind", "expected"), [(Rights, ["HIT", "HIT"]), (Each, ["MISS", "MISS"])])
def test_a_kept_answer_knows_what_the_parts_in_it_depend_on(kind: Any, expected: list[str], alice: User) -> None:
    class View(APIView):
        """Shows an author, to all with the same permissions."""

        authentication_classes = ()

        @cached_response(60, vary=("permissions",))
        def get(self, request: Any) -> Response:
            """Show."""
            context = {"request": request}
            return Response(kind(Author.objects.get(), context=context).data)

    View.__qualname__ = f"View{kind.__name__}"
    make_author("Ada")
    results = []
    for _ in range(3):
        request = APIRequestFactory().get("/")
        force_authenticate(request, User.objects.get(pk=alice.pk))
        results.append(View.as_view()(request).headers["X-Cachekit"])

    assert results == ["MISS", *expected]


def test_fields_that_are_chosen_for_each_request_are_part_of_the_question() -> None:
    ada = make_author("Ada", email="a@example.com")

    for _ in range(2):
        for wanted in ("id,name", "email", "id"):
            (one,) = made(Chosen, [ada], many=True, context=asked(path=f"/?fields={wanted}"))
            assert set(one) == set(wanted.split(","))


def test_the_view_is_no_part_of_what_is_kept() -> None:
    ada = make_author("Ada")

    assert made(OfView, ada, context=asked())["hello"] == "APIView"
    assert made(OfView, ada, context={**asked(), "view": None})["hello"] == "NoneType"


def test_links_are_of_the_host_that_was_asked() -> None:
    book = make_book("b")

    for _ in range(2):
        for host in ("one.example", "two.example"):
            link = made(Linked, book, context=asked(headers={"host": host}))["url"]
            assert link == f"http://{host}/books/{book.pk}/"
            assert made(Linked, book, context=asked(path="/?format=json"))["url"].endswith("/?format=json")
    with translation.override("nl"):
        assert made(Linked, book, context=asked(headers={"host": "one.example"}))["title"] == "b"


def test_what_a_subclass_adds_is_added_each_time() -> None:
    authors = [make_author("Ada"), make_author("Bob")]

    assert [one["own"] for one in made(Own, authors, many=True)] == [2, 2]
    assert [one["own"] for one in made(Own, authors, many=True)] == [0, 0]


def test_invalidating_an_object_makes_it_anew() -> None:
    ada = make_author("Ada")
    made(Authors, ada)

    invalidate(ada)
    made(Authors, ada)
    assert MADE == ["Ada"]
    invalidate("fragment:tests.contrib.drf.test_serializers.Authors")
    made(Authors, ada)
    assert MADE == ["Ada"]


def test_what_cannot_be_kept_is_made_as_ever(alice: User) -> None:
    ada = make_author("Ada")
    for _ in range(2):
        assert made(Authors, Author(name="unsaved"))["name"] == "unsaved"
        assert made(Each, {"name": "no row"}, context=asked(alice))["hello"] == "alice"
        assert made(Authors, ada, context={"what": object()})["name"] == "Ada"
        assert MADE == ["Ada"]
    made(Authors, ada)
    with uncached():
        made(Authors, ada)
    assert MADE == ["Ada"]
    with transaction.atomic():
        Author.objects.update(name="Grace")
        assert made(Authors, Author.objects.get())["name"] == "Grace"
        assert MADE == ["Grace"]


def test_a_plain_request_is_not_watched_so_nothing_is_kept() -> None:
    ada = make_author("Ada")
    request = APIRequestFactory().get("/")

    assert isinstance(asked()["request"], Request)
    for _ in range(2):
        made(Authors, ada, context={"request": request})
        assert MADE == ["Ada"]


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ({"cache_vary": "user"}, TypeError),
        ({"cache_options": {"public": True}}, TypeError),
        ({"cache_timeout": -1}, ValueError),
    ],
)
def test_mistakes_are_said_at_once(attributes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        type("Wrong", (CachedSerializerMixin, serializers.Serializer), attributes)
