"""A small API over the zoo: what the tests ask."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from django.urls import include, path
from rest_framework import filters, serializers, viewsets
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.decorators import action, api_view, authentication_classes
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.throttling import BaseThrottle
from rest_framework.versioning import QueryParameterVersioning
from rest_framework.views import APIView

from cachekit.contrib.drf import CachedViewSetMixin, cached_action, cached_response
from tests.contrib.drf import answers
from tests.contrib.drf.answers import CALLS, NEVER, Respond, greeting, number
from tests.zoo.models import Author, Book, Note


class ByHeader(BaseAuthentication):
    """Believes whoever says `Authorization: Name alice`, or `Name alice/word` to show a word beside it."""

    def authenticate(self, request: Any) -> tuple[Any, Any] | None:
        """Return the user of that name, and the word."""
        kind, _, name = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind != "Name":
            return None
        name, _, word = name.partition("/")
        user = User.objects.filter(username=name).first()
        if user is None:
            raise AuthenticationFailed
        return user, word or None


class AuthorSerializer(serializers.ModelSerializer[Author]):
    """An author inside a book."""

    class Meta:
        model = Author
        fields = ("id", "name")


class BookSerializer(serializers.ModelSerializer[Book]):
    """A book with its author, its tags, and a count of its notes."""

    author = AuthorSerializer(read_only=True)
    tags: Any = serializers.SlugRelatedField(slug_field="name", many=True, read_only=True)
    notes = serializers.SerializerMethodField()
    author_id: Any = serializers.PrimaryKeyRelatedField(
        source="author", queryset=Author.objects.all(), write_only=True, required=False
    )

    class Meta:
        model = Book
        fields = ("id", "title", "status", "price", "author", "author_id", "tags", "notes")

    def get_notes(self, book: Book) -> int:
        """Count notes, rows of another model."""
        return Note.objects.filter(object_id=str(book.pk)).count()


class Pages(PageNumberPagination):
    """Two a page."""

    page_size = 2
    page_size_query_param = "size"


class Books(CachedViewSetMixin, viewsets.ModelViewSet[Book]):
    """Books that all share."""

    cache_timeout = 60
    cache_options: ClassVar[dict[str, Any]] = {"vary": ()}
    queryset = Book.objects.select_related("author").prefetch_related("tags").order_by("pk")
    serializer_class = BookSerializer
    pagination_class = Pages
    filter_backends = (filters.SearchFilter, filters.OrderingFilter)
    search_fields = ("title",)
    ordering_fields = ("title", "price")
    authentication_classes = (ByHeader,)
    permission_classes = (AllowAny,)
    renderer_classes = (JSONRenderer, BrowsableAPIRenderer)

    @action(detail=False)
    @cached_action(60, vary=())
    def titles(self, request: Any) -> Response:
        """List titles, and nothing else."""
        CALLS.append("titles")
        return Response(sorted(Book.objects.values_list("title", flat=True)))


class KnownParams(Books):
    """Says which parameters it knows."""

    cache_options: ClassVar[dict[str, Any]] = {"vary": (), "params": ("status",)}

    def get_queryset(self) -> Any:
        """Filter by hand."""
        status = self.request.query_params.get("status")
        found = super().get_queryset()
        return found.filter(status=status) if status else found


class MayView(BasePermission):
    """Lets in whoever may view books."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Ask Django."""
        CALLS.append("permission")
        return bool(request.user.has_perm("zoo.view_book"))


class Never(BaseThrottle):
    """Lets in whoever is not marked."""

    def allow_request(self, request: Any, view: Any) -> bool:
        """Look for the mark."""
        return "throttle" not in request.query_params

    def wait(self) -> float:
        """Tell for how long."""
        return 7


class Plain(APIView):
    """What most views here share."""

    authentication_classes = (ByHeader, SessionAuthentication)
    permission_classes: Any = (AllowAny,)
    renderer_classes: Any = (JSONRenderer,)


def made(respond: Respond, base: type[Plain] = Plain, /, **said: Any) -> Any:
    """Return a view whose `get` is kept as `said`, and answers what `respond(view, request)` returns."""

    class View(base):  # type: ignore[misc, valid-type]
        @cached_response(60, **said)
        def get(self, request: Any, **kwargs: Any) -> Any:
            CALLS.append("get")
            return respond(self, request)

        def post(self, request: Any, **kwargs: Any) -> Any:
            CALLS.append("post")
            return respond(self, request)

    made.count += 1  # type: ignore[attr-defined]
    View.__qualname__ = f"Made{made.count}"  # type: ignore[attr-defined]
    return View.as_view()


made.count = 0  # type: ignore[attr-defined]


class Shouting(BaseRenderer):
    """Another form of the same."""

    media_type = "text/plain"
    format = "txt"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        """Shout."""
        return f"{data}!".encode()


class Several(Plain):
    """Has renderers and versions."""

    renderer_classes = (JSONRenderer, Shouting, BrowsableAPIRenderer)
    versioning_class = QueryParameterVersioning


class Guarded(Plain):
    """Lets in whoever may view books, unless throttled."""

    permission_classes = (MayView,)
    throttle_classes = (Never,)


class Signed(Plain):
    """Lets in whoever is signed in."""

    permission_classes = (IsAuthenticated,)


class OfAuthor(Plain):
    """Fetches an author before the cache is asked."""

    author: Any = None

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Fetch the author whose books these are."""
        super().initial(request, *args, **kwargs)
        self.author = get_object_or_404(Author, pk=kwargs["pk"])


class Chooses(Plain):
    """Chooses what it works with before the cache is asked."""

    serializer_class: Any = BookSerializer

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Choose by who asks."""
        super().initial(request, *args, **kwargs)
        if request.user.is_authenticated:
            self.serializer_class = AuthorSerializer

    def get_permissions(self) -> Any:
        """Choose, as many do."""
        self.permission_classes = (~IsAuthenticated | AllowAny,)
        return super().get_permissions()


class Timed(Plain):
    """Keeps something on itself that differs each time."""

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Note it."""
        super().initial(request, *args, **kwargs)
        self.began = len(CALLS)
        self.clock = object()


class Enveloped(Plain):
    """Puts what it answers into an envelope, at the end."""

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Wrap what is not wrapped yet."""
        if isinstance(response, Response) and not response.is_rendered:
            response.data = {"envelope": response.data}
        return super().finalize_response(request, response, *args, **kwargs)


@api_view(["GET"])
@authentication_classes([ByHeader])
@cached_response(60)
def function(request: Any) -> Response:
    """Answer as a function."""
    CALLS.append("function")
    return greeting(None, request)


def by_letter(request: Any) -> str:
    """Tell the first letter of the visitor's name."""
    return str(request.user)[:1]


def by_currency(request: Any) -> Any:
    """Tell the visitor's currency."""
    return request.COOKIES.get("currency")


router = SimpleRouter()
router.register("books", Books, basename="book")
router.register("known", KnownParams, basename="known")
urlpatterns = [
    path("", include(router.urls)),
    *(path(f"never/{name.replace(' ', '_')}/", made(respond, vary=())) for name, respond in NEVER.items()),
    path("mine/", made(greeting)),
    path("mine/but/", made(number, ignore=("user.last_login",))),
    path("mine/browsable/", made(greeting, Several)),
    path("shared/", made(number, vary=())),
    path("public/", made(number, public=True)),
    path("function/", function),
    path("several/", made(number, Several, vary=())),
    path("rights/", made(answers.rights, vary=("permissions",))),
    path("rights/name/", made(greeting, vary=("permissions",))),
    path("rights/object/", made(answers.about_one, vary=("permissions",))),
    path("guarded/", made(number, Guarded)),
    path("author/<int:pk>/", made(answers.author, OfAuthor, vary=())),
    path("timed/", made(number, Timed, vary=())),
    path("timed/ignored/", made(number, Timed, vary=(), ignore=("began", "clock"))),
    path("enveloped/", made(number, Enveloped, vary=())),
    path("currency/", made(answers.currency, vary=("X-Currency",))),
    path("letter/", made(greeting, vary=("shared", by_letter))),
    path("cookies/", made(answers.biscuit, vary=("shared", by_currency))),
    path("cookies/name/", made(greeting, vary=("shared", by_currency))),
    path("word/", made(answers.word, vary=("user", "auth"))),
    path("cart/", made(answers.cart, vary=("user", "cookie"))),
    path("missing/<int:pk>/", made(answers.title, vary=(), not_found=True)),
    path("signs/in/", made(answers.signs_in)),
    path("signs/below/", made(answers.signs_in_below)),
    path("chooses/", made(answers.chosen, Chooses, vary=())),
    path("racing/", made(answers.racing, vary=())),
    path("aged/", made(number, max_age=30)),
    path("controlled/", made(lambda v, r: Response({}, headers={"Cache-Control": "public, max-age=5"}))),
    path("tagged/", made(lambda v, r: Response({}, headers={"ETag": '"mine"'}))),
    path("signed/", made(number, Signed, vary=())),
]
