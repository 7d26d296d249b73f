"""A schema of strawberry-django over the zoo, with cached fields of every kind."""

from __future__ import annotations

from typing import Any

import strawberry
import strawberry_django
from asgiref.sync import sync_to_async
from django.urls import path
from strawberry.django.views import AsyncGraphQLView, GraphQLView
from strawberry_django.optimizer import DjangoOptimizerExtension
from strawberry_django.permissions import IsStaff

from cachekit.contrib.strawberry import CachedField
from tests.zoo.models import Author, Book

RUNS: list[str] = []
"""The resolvers that were computed."""


@strawberry_django.type(Author)
class AuthorType:
    id: strawberry.ID
    name: strawberry.auto
    books: list[BookType] = strawberry_django.field(extensions=[CachedField(300, public=True)])

    @strawberry_django.field(extensions=[CachedField(300, public=True)])
    def titles(self: Any) -> list[str]:
        RUNS.append(f"titles {self.name}")
        return [book.title for book in self.books.order_by("pk")]


@strawberry_django.type(Book)
class BookType:
    id: strawberry.ID
    title: strawberry.auto
    stock: strawberry.auto
    author: AuthorType


@strawberry.input
class Wanted:
    status: str = "draft"
    words: list[str] = strawberry.field(default_factory=list)


@strawberry.type
class Query:
    books: list[BookType] = strawberry_django.field(extensions=[CachedField(300, public=True)])
    authors: list[AuthorType] = strawberry_django.field()

    @strawberry_django.field(extensions=[CachedField(300)])
    def shelf(self, status: str = "draft") -> list[BookType]:
        RUNS.append(f"shelf {status}")
        return Book.objects.filter(status=status).order_by("pk")  # type: ignore[return-value]

    @strawberry.field(extensions=[CachedField(300, public=True)])
    def found(self, wanted: Wanted) -> list[str]:
        RUNS.append(f"found {wanted.status}")
        return [wanted.status, *wanted.words]

    @strawberry_django.field(extensions=[CachedField(300)])
    def me(self, info: strawberry.Info) -> str:
        RUNS.append("me")
        return info.context.request.user.get_username() or "nobody"

    @strawberry_django.field
    def warm(self, info: strawberry.Info) -> bool:
        return bool(info.context.request.user.has_perm("zoo.add_book"))

    @strawberry_django.field(extensions=[CachedField(300)])
    def may(self, info: strawberry.Info) -> list[bool]:
        RUNS.append("may")
        user = info.context.request.user
        return [user.is_staff, user.has_perm("zoo.add_book")]

    @strawberry_django.field(extensions=[CachedField(300, public=True)])
    async def total(self) -> int:
        RUNS.append("total")
        return await Book.objects.acount()

    @strawberry_django.field(extensions=[CachedField(300, public=True)])
    async def deep(self) -> int:
        RUNS.append("deep")
        return await sync_to_async(Book.objects.filter(status="draft").count)()

    @strawberry_django.field(extensions=[CachedField(300, public=True)])
    def title(self, pk: int) -> str | None:
        RUNS.append("title")
        return Book.objects.get(pk=pk).title

    @strawberry_django.field(extensions=[CachedField(300)])
    def cart(self, info: strawberry.Info) -> int:
        RUNS.append("cart")
        return int(info.context.request.session.get("cart", 0))

    @strawberry.field(extensions=[CachedField(300, public=True)])
    def currency(self, info: strawberry.Info, meta: bool = False) -> str:
        RUNS.append("currency")
        request = info.context.request
        return str(request.META["HTTP_X_CURRENCY"] if meta else request.headers.get("x-currency"))

    @strawberry.field(extensions=[CachedField(300, public=True, vary=("X-Currency",))])
    def price(self, info: strawberry.Info) -> str:
        RUNS.append("price")
        return str(info.context.request.headers["X-Currency"])

    @strawberry_django.field(extensions=[CachedField(300, public=True), IsStaff()])
    def stock(self) -> int:
        RUNS.append("stock")
        return sum(Book.objects.values_list("stock", flat=True))


@strawberry.type
class Mutation:
    @strawberry_django.field(extensions=[CachedField(300, public=True)])
    def rename(self, pk: int, title: str) -> BookType:
        RUNS.append("rename")
        book = Book.objects.get(pk=pk)
        book.title = title
        book.save()
        return book  # type: ignore[return-value]


SCHEMA = strawberry.Schema(Query, Mutation, extensions=[DjangoOptimizerExtension])
PLAIN = strawberry.Schema(Query, Mutation)
"""The same without an optimizer."""

urlpatterns = [
    path("called/", GraphQLView.as_view(schema=SCHEMA)),
    path("awaited/", AsyncGraphQLView.as_view(schema=SCHEMA)),
]
