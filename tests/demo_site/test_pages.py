"""The shop's pages: what they show, what they cost, and what a write makes of them."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from django.core.cache import cache
from django.db.models import Count
from django.test import Client

from cachekit import warming
from demo_site.middleware import POLICY
from demo_site.shop import caching, shelf
from demo_site.shop.grades import BANDS
from demo_site.shop.models import Category, Order, OrderLine, Product, ProductViews

HOME = "demo_site.shop.caching.home"
BUYER = {"customer": "Ada Lund", "email": "ada@example.com", "city": "Oslo", "quantity": "1"}


def asked(visitor: Client, path: str) -> tuple[str, int]:
    """Return what cachekit said of a page and how many queries it took."""
    answer = visitor.get(path)
    assert answer.status_code == 200
    return answer.headers.get("X-Cachekit", ""), int(answer["X-SQL-Queries"])


def a_product(slug: str = "classic") -> Product:
    return Product.objects.filter(category__slug=slug, stock__gt=1)[3]


@pytest.mark.parametrize("path", ["/diamonds/", "/diamonds/classic/", "/diamonds/classic/?color=E&sort=-price&page=2"])
def test_a_list_page_is_a_miss_then_a_hit_without_sql(visitor: Client, path: str) -> None:
    result, queries = asked(visitor, path)

    assert (result, queries > 0) == ("MISS", True)
    assert asked(visitor, path) == ("HIT", 0)


def test_a_price_reaches_its_own_pages_and_leaves_the_others(visitor: Client) -> None:
    product = a_product()
    far = Product.objects.filter(category=product.category).exclude(pk__range=(product.pk - 2, product.pk + 2))[0]
    touched = ["/diamonds/", "/diamonds/classic/", product.get_absolute_url()]
    untouched = ["/diamonds/grand/", "/diamonds/petite/?cut=Ideal", far.get_absolute_url()]
    for path in touched + untouched:
        asked(visitor, path)

    product.price = Decimal("4321.50")
    product.save()

    assert {path: asked(visitor, path)[0] for path in untouched} == dict.fromkeys(untouched, "HIT")
    assert {path: asked(visitor, path)[0] for path in touched} == dict.fromkeys(touched, "MISS")
    assert "$4,321.50" in visitor.get(product.get_absolute_url()).text


def test_a_product_that_changes_its_collection_leaves_one_list_and_joins_another(visitor: Client) -> None:
    product = a_product()
    for slug in ("classic", "grand", "petite"):
        asked(visitor, f"/diamonds/{slug}/")

    product.category = Category.objects.get(slug="grand")
    product.save()

    assert [asked(visitor, f"/diamonds/{slug}/")[0] for slug in ("classic", "grand", "petite")] == [
        "MISS",
        "MISS",
        "HIT",
    ]


def test_a_view_is_counted_also_when_the_page_is_a_hit(visitor: Client) -> None:
    product = a_product()
    for _ in range(3):
        visitor.get(product.get_absolute_url())
    visitor.head(product.get_absolute_url())
    visitor.get("/diamond/999999/")

    caching.views_counter.flush()

    assert list(ProductViews.objects.values_list("product_id", "count")) == [(product.pk, 3)]
    assert asked(visitor, product.get_absolute_url()) == ("HIT", 0)


def test_the_home_page_costs_nothing_once_it_is_warm(visitor: Client) -> None:
    product = a_product()
    ProductViews.objects.create(product=product, count=5)
    warming.run(HOME)

    page = visitor.get("/")

    visitor.get("/")
    assert int(visitor.get("/")["X-SQL-Queries"]) == 0
    assert "Most looked at" in page.text
    assert product.get_absolute_url() in page.text


def test_the_most_looked_at_change_with_the_warmer_and_their_prices_at_once(visitor: Client) -> None:
    first, second = Product.objects.all()[:2]
    ProductViews.objects.create(product=first, count=1)
    warming.run(HOME)

    ProductViews.objects.create(product=second, count=9)
    first.price = Decimal(777)
    first.save()

    assert [(one.pk, one.price) for one in caching.popular()] == [(first.pk, Decimal(777))]
    warming.run(HOME)
    assert [one.pk for one in caching.popular()] == [second.pk, first.pk]


def test_the_most_looked_at_need_no_warmer(visitor: Client) -> None:
    ProductViews.objects.create(product=a_product(), count=1)

    assert cache.get(caching.RANKING_KEY) is None
    assert len(caching.popular()) == 1


def test_an_order_takes_stock_and_shows_in_the_report(visitor: Client) -> None:
    product = a_product()
    before = caching.sales_report()
    visitor.get(product.get_absolute_url())

    answer = visitor.post(f"{product.get_absolute_url()}order/", BUYER, follow=True)

    assert "Thank you, Ada Lund." in answer.text
    assert Product.objects.get(pk=product.pk).stock == product.stock - 1
    assert OrderLine.objects.latest("pk").unit_price == product.price
    assert caching.sales_report().orders == before.orders + 1
    assert caching.sales_report().revenue == before.revenue + product.price
    assert asked(Client(), product.get_absolute_url())[0] == "MISS"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"quantity": "19"}, "left."),
        ({"quantity": "0"}, "greater than or equal to 1"),
        ({"email": "nobody"}, "valid email"),
        ({"customer": ""}, "required"),
    ],
)
def test_a_wrong_order_is_answered_with_what_is_wrong(visitor: Client, change: dict[str, str], told: str) -> None:
    product = a_product()
    orders = Order.objects.count()

    answer = visitor.post(f"{product.get_absolute_url()}order/", BUYER | change)

    assert answer.status_code == 422
    assert told in answer.text
    assert Order.objects.count() == orders


@pytest.mark.parametrize("path", ["/", "/diamonds/", "/diamonds/classic/", "/sales/", "/healthz/"])
def test_public_pages_set_no_cookie_and_hold_no_token(visitor: Client, path: str) -> None:
    answer = visitor.get(path)

    assert answer["Content-Security-Policy"] == POLICY
    assert not answer.cookies
    assert "Cookie" not in answer.get("Vary", "")
    assert "csrfmiddlewaretoken" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/diamonds/classic/?color=Z", "/diamonds/?page=9999", "/diamonds/?page=x&sort=evil&price=1", "/diamonds/?cut=%00"],
)
def test_a_made_up_query_is_answered_with_what_there_is(visitor: Client, path: str) -> None:
    assert visitor.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/diamonds/rubies/", "/diamond/999999/", "/diamond/0/", "/diamond/999999/order/"])
def test_what_is_not_there_is_404_with_a_way_back(visitor: Client, path: str) -> None:
    answer = visitor.get(path)

    assert answer.status_code == 404
    assert "This drawer is empty." in answer.text
    assert 'href="/diamonds/"' in answer.text


def test_what_breaks_is_500_on_a_page_of_the_shop(visitor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("demo_site.shop.views.sales_report", broken)
    visitor.raise_request_exception = False

    answer = visitor.get("/sales/")

    assert answer.status_code == 500
    assert "We dropped a stone." in answer.text


def test_counts_beside_the_choices_are_what_the_choices_leave(stocked: None) -> None:
    category = Category.objects.get(slug="grand")
    filters = shelf.Filters(cut="Ideal", price=BANDS[4].slug)

    facets = {facet.name: facet for facet in shelf.facets(category, filters)}

    for name, facet in facets.items():
        for option in facet.options:
            values = dict(re.findall(r"(\w+)=([^&]+)", option.query.replace("+", " ")))
            value = filters.chosen.get(name) if option.selected else values[name]
            changed = shelf.Filters(**{**filters.chosen, name: value or ""})
            assert option.count == shelf.products(category, changed).count(), (name, option)
    assert [option.label for option in facets["cut"].options if option.selected] == ["Ideal"]


def test_the_report_adds_up(stocked: None) -> None:
    report = caching.sales_report()
    sold = Order.objects.exclude(status=Order.Status.RETURNED)

    assert report.orders == sold.count()
    assert sum(row.revenue for row in report.collections) == report.revenue
    assert sum(row.revenue for row in report.cuts) == report.revenue
    busiest = sold.values("city").annotate(n=Count("pk")).order_by("-n")[0]
    assert busiest["n"] in {row.orders for row in report.cities}
    assert len(report.best_sellers) == 10


def test_an_empty_shop_shows_what_to_do(transactional_db: None) -> None:
    visitor = Client()

    assert "load_diamonds" in visitor.get("/").text
    assert visitor.get("/diamonds/").status_code == 200
    assert visitor.get("/sales/").status_code == 200


def test_the_favicon_leads_to_the_drawing(visitor: Client) -> None:
    assert visitor.get("/favicon.ico")["Location"].endswith("shop/favicon.svg")
