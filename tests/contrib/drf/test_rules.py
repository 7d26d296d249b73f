"""What is said of kept answers is checked where it is written; a schema tells of them."""

from __future__ import annotations

import importlib
import sys
from typing import Any, ClassVar, cast

import pytest
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.validation import validate_schema
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from cachekit.contrib.drf import CachedSerializerMixin, CachedViewSetMixin, cached_response
from cachekit.exceptions import MissingExtra
from tests.contrib.drf import api


def answer(view: Any, request: Any) -> Response:
    return Response({})


def viewset(**attributes: Any) -> Any:
    return type("Wrong", (CachedViewSetMixin,), attributes)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda: cached_response(answer), TypeError, r"@cached_response\(600\)"),
        (lambda: cached_response(60, vary="user"), TypeError, r"vary=\('user',\)"),
        (lambda: cached_response(60, params="page"), TypeError, r"params=\('page',\)"),
        (lambda: cached_response(60, varry=()), TypeError, "'varry'.*vary"),
        (lambda: cached_response(-1), ValueError, "timeout"),
        (lambda: cached_response(60, max_age=-1), ValueError, "max_age"),
        (lambda: cached_response(60, public=True, vary=("user",)), ValueError, "'user'"),
        (lambda: cached_response(60, public=True, vary=("permissions",)), ValueError, "permissions"),
        (lambda: cached_response(60, public=True, vary=("Cookie",)), ValueError, "cookie"),
        (lambda: cached_response(60, public=True, vary=(answer,)), ValueError, "answer"),
        (lambda: cached_response(60)(api.function), TypeError, "below @api_view"),
        (lambda: viewset(cache_timeout=-1), ValueError, "timeout"),
        (lambda: viewset(cache_options={"publik": True}), TypeError, "publik"),
        (lambda: viewset(cache_actions=("list",)), TypeError, "dict"),
        (lambda: type("Last", (APIView, CachedViewSetMixin), {}), TypeError, r"class Last\(CachedViewSetMixin"),
        (
            lambda: cast("Any", type("Plain", (CachedViewSetMixin, APIView), {})).as_view(),
            TypeError,
            "Plain is no viewset.*get()",
        ),
        (
            lambda: type("Last", (Serializer, CachedSerializerMixin), {}),
            TypeError,
            r"Last\(CachedSerializerMixin",
        ),
        (cached_response(60)(lambda: None), TypeError, "views of REST framework"),
    ],
)
def test_mistakes_are_said_at_once(wrong: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        wrong()


def test_what_is_awaited_is_refused() -> None:
    async def get(self: Any, request: Any) -> Response:
        return Response({})

    with pytest.raises(TypeError, match="views are sync"):
        cached_response(60)(get)


def test_each_action_has_options_of_its_own() -> None:
    class Books(api.Books):
        cache_actions: ClassVar[dict[str, Any]] = {"list": {"timeout": 5}, "titles": {}}

    assert Books.cachekit_kept.keys() == {"list", "titles"}
    assert Books.cachekit_kept["list"].rules.options["timeout"] == 5
    assert Books.cachekit_kept["titles"].rules.options["timeout"] == 60
    assert Books.cachekit_kept["titles"].rules.vary == ()


@pytest.mark.parametrize(
    ("module", "package", "text"),
    [
        ("cachekit.contrib.drf", "rest_framework", r"pip install 'django-cachekit\[api\]'"),
        ("cachekit.contrib.drf.schema", "drf_spectacular.openapi", "pip install drf-spectacular"),
    ],
)
def test_a_missing_package_is_named(module: str, package: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, module, raising=False)

    with pytest.raises(MissingExtra, match=text):
        importlib.import_module(module)


def schema() -> Any:
    """Return the schema of the API of the tests."""
    from rest_framework.routers import SimpleRouter

    router = SimpleRouter()
    router.register("books", api.Books, basename="book")
    generator: Any = cast("Any", SchemaGenerator)(patterns=router.urls)
    found = generator.get_schema(public=True)
    cast("Any", validate_schema)(found)
    return found["paths"]


def told(operation: Any) -> tuple[bool, bool, bool]:
    """Return whether an operation tells of the condition, of 304, and of the entity tag."""
    names = {one["name"] for one in operation.get("parameters", ())}
    responses = operation["responses"]
    return "If-None-Match" in names, "304" in responses, "ETag" in responses.get("200", {}).get("headers", {})


def test_a_schema_tells_of_kept_answers() -> None:
    paths = schema()

    assert told(paths["/books/"]["get"]) == (True, True, True)
    assert told(paths["/books/{id}/"]["get"]) == (True, True, True)
    assert told(paths["/books/titles/"]["get"]) == (True, True, True)
    assert told(paths["/books/"]["post"]) == (False, False, False)
    assert told(paths["/books/{id}/"]["patch"]) == (False, False, False)
    assert {"page", "size", "search", "ordering"} <= {one["name"] for one in paths["/books/"]["get"]["parameters"]}


def test_schemas_are_generated_without_ours_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.Books, "schema", AutoSchema())

    paths = schema()

    assert told(paths["/books/"]["get"]) == (False, False, False)
    assert "200" in paths["/books/"]["get"]["responses"]
