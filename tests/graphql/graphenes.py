"""A schema of graphene-django over the zoo, with cached resolvers."""

from __future__ import annotations

from typing import Any, ClassVar

import graphene
from django.db.models import QuerySet
from django.urls import path
from graphene_django import DjangoListField, DjangoObjectType
from graphene_django.views import GraphQLView

from cachekit.contrib.graphene import cached_resolver
from tests.zoo.models import Author, Book

RUNS: list[str] = []
"""The resolvers that were computed."""


class AuthorType(DjangoObjectType):  # type: ignore[misc]  # graphene has no types
    titles = graphene.List(graphene.String)

    class Meta:
        model = Author
        fields: ClassVar = ("id", "name")

    @cached_resolver(300, public=True)
    def resolve_titles(parent: Any, info: Any) -> list[str]:  # noqa: N805 - a resolver's first argument is the parent
        RUNS.append(f"titles {parent.name}")
        return list(parent.books.order_by("pk").values_list("title", flat=True))


class BookType(DjangoObjectType):  # type: ignore[misc]  # as above
    class Meta:
        model = Book
        fields: ClassVar = ("id", "title", "stock", "author")

    @classmethod
    def get_queryset(cls, queryset: QuerySet[Book], info: Any) -> QuerySet[Book]:
        """Hide what is secret from all but the staff."""
        user = getattr(info.context, "user", None)
        return queryset if user is not None and user.is_staff else queryset.exclude(status="secret")


class Query(graphene.ObjectType):  # type: ignore[misc]  # as above
    books = DjangoListField(BookType, status=graphene.String(default_value="draft"))
    authors = graphene.List(AuthorType)
    me = graphene.String()
    total = graphene.Int()
    title = graphene.String(pk=graphene.Int(required=True))

    @cached_resolver(300, public=True)
    def resolve_books(parent: Any, info: Any, status: str) -> Any:  # noqa: N805 - as above
        RUNS.append(f"books {status}")
        return Book.objects.filter(status=status)

    def resolve_authors(parent: Any, info: Any) -> Any:  # noqa: N805 - as above
        return Author.objects.order_by("pk")

    @cached_resolver(300)
    def resolve_me(parent: Any, info: Any) -> str:  # noqa: N805 - as above
        RUNS.append("me")
        return info.context.user.get_username() or "nobody"

    @cached_resolver(300, public=True)
    async def resolve_total(parent: Any, info: Any) -> int:  # noqa: N805 - as above
        RUNS.append("total")
        return await Book.objects.acount()

    @cached_resolver(300, public=True)
    def resolve_title(parent: Any, info: Any, pk: int) -> str:  # noqa: N805 - as above
        RUNS.append("title")
        return Book.objects.get(pk=pk).title


class Rename(graphene.Mutation):  # type: ignore[misc]  # as above
    class Arguments:
        pk = graphene.Int(required=True)
        title = graphene.String(required=True)

    author = graphene.Field(AuthorType)

    @staticmethod
    @cached_resolver(300, public=True)
    def mutate(parent: Any, info: Any, pk: int, title: str) -> Rename:
        RUNS.append("rename")
        Book.objects.filter(pk=pk).update(title=title)
        return Rename(author=Author.objects.get(books=pk))


class Mutation(graphene.ObjectType):  # type: ignore[misc]  # as above
    rename = Rename.Field()


SCHEMA = graphene.Schema(Query, Mutation)

urlpatterns = [path("called/", GraphQLView.as_view(schema=SCHEMA))]
