"""The shop's API: what it answers, what it costs, and what a write makes of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.test import Client

from demo_site.shop.models import Category, Product


def asked(visitor: Client, path: str, **headers: str) -> tuple[Any, str, int]:
    """Return what the API answered, what cachekit said of it, and how many queries it took."""
    answer = visitor.get(path, headers=headers)
    return answer, answer.headers.get("X-Cachekit", ""), int(answer["X-SQL-Queries"])


def test_the_api_is_a_miss_then_a_hit_without_sql(visitor: Client) -> None:
    product = Product.objects.select_related("category")[0]
    paths = {
        "/api/products/?category=classic&cut=Ideal&sort=-price": "classic",
        f"/api/products/{product.pk}/": product.sku,
        "/api/categories/": "Classic",
        "/api/categories/grand/": "grand",
    }

    for path, text in paths.items():
        first, result, queries = asked(visitor, path)
        assert (first.status_code, result, queries > 0) == (200, "MISS", True), path
        assert text in first.text
        again, result, queries = asked(visitor, path)
        assert (again.json(), result, queries) == (first.json(), "HIT", 0), path
        assert first["Cache-Control"] == "public, no-cache"
        unchanged, result, queries = asked(visitor, path, if_none_match=first["ETag"])
        assert (unchanged.status_code, result, queries) == (304, "HIT", 0), path


def test_a_list_of_the_api_is_that_of_the_shop(visitor: Client) -> None:
    listed = asked(visitor, "/api/products/?category=classic&sort=-price&utm_source=mail")[0].json()

    wanted = Product.objects.filter(category__slug="classic").order_by("-price", "pk")
    assert [one["id"] for one in listed["results"]] == list(wanted.values_list("pk", flat=True)[:24])
    assert listed["count"] == wanted.count()
    assert listed["results"][0]["page"] == f"http://testserver{wanted[0].get_absolute_url()}"
    assert asked(visitor, "/api/products/?sort=-price&category=classic")[1] == "HIT"
    assert asked(visitor, "/api/products/?category=rubies")[0].json()["count"] == 0


def test_a_write_reaches_the_api_and_leaves_other_products(visitor: Client) -> None:
    product, other = Product.objects.filter(category__slug="classic")[:2]
    paths = ["/api/products/?category=classic", "/api/products/?category=grand", "/api/categories/"]
    paths += [f"/api/products/{one.pk}/" for one in (product, other)]
    for path in paths:
        asked(visitor, path)

    product.price = Decimal("4321.50")
    product.save()

    assert asked(visitor, paths[0])[1] == "MISS"
    assert asked(visitor, paths[1])[1] == "HIT"
    assert asked(visitor, paths[3])[0].json()["price"] == "4321.50"
    assert asked(visitor, paths[4])[1] == "HIT"
    Category.objects.filter(slug="grand").update(slug="great")
    assert asked(visitor, "/api/products/?category=grand")[0].json()["count"] == 0
    assert "great" in asked(visitor, "/api/categories/")[0].text


def test_the_api_describes_itself_and_only_reads(visitor: Client) -> None:
    schema = visitor.get("/api/schema/?format=json").json()

    operation = schema["paths"]["/api/products/"]["get"]
    assert {"category", "cut", "sort", "page", "If-None-Match"} <= {one["name"] for one in operation["parameters"]}
    assert set(operation["responses"]) == {"200", "304"}
    assert "ETag" in operation["responses"]["200"]["headers"]
    assert schema["info"]["title"] == "Diamonds"
    assert visitor.post("/api/products/", {}).status_code == 405
    assert visitor.get("/api/products/999999/").status_code == 404
