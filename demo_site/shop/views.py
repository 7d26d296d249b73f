"""The shop's pages."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from cachekit import cached_view
from cachekit.exceptions import CachekitError
from demo_site.shop import shelf
from demo_site.shop.caching import new_arrivals, popular, sales_report, tiles, views_counter
from demo_site.shop.forms import OrderForm
from demo_site.shop.models import Category, Product

PER_PAGE = 24


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the home page; its parts are cached one by one, so the functions are called by the template."""
    return render(request, "shop/home.html", {"popular": popular, "new_arrivals": new_arrivals, "tiles": tiles})


@require_safe
@cached_view(600)
def listing(request: HttpRequest, slug: str = "") -> HttpResponse:
    """Show the products of one collection, or all, filtered and sorted, with counts beside each choice."""
    category = get_object_or_404(Category.objects.cached(3600), slug=slug) if slug else None
    filters = shelf.Filters.read(request.GET.dict())
    found = shelf.ordered(shelf.products(category, filters), filters.sort)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "category": category,
        "categories": Category.objects.cached(3600),
        "filters": filters,
        "facets": shelf.facets(category, filters),
        "sorts": [(label, filters.query(sort=name), name == filters.sort) for name, (label, _) in shelf.SORTS.items()],
        "page": page,
        "pages": page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1),
        "page_query": filters.query() + ("&" if len(filters.query()) > 1 else "") + "page=",
    }
    return render(request, "shop/listing.html", context)


@require_safe
def product(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Show a product and count the view, also when the page comes from the cache."""
    response = product_page(request, pk)
    if response.status_code == HttpResponse.status_code and request.method == "GET":
        count_view(pk)
    return response


@cached_view(600)
def product_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one product with its neighbours, which are named by key: the page depends on five rows, no more."""
    found = get_object_or_404(Product.objects.select_related("category"), pk=pk)
    neighbours = Product.objects.filter(pk__in=[pk - 2, pk - 1, pk + 1, pk + 2]).order_by("pk")
    return render(request, "shop/product.html", {"product": found, "neighbours": neighbours})


def count_view(pk: int) -> None:
    """Count one view; a counter that is away must not cost the visitor the page."""
    try:
        views_counter.add(pk)
    except CachekitError:
        return


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def order(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an order for one product."""
    wanted = get_object_or_404(Product.objects.select_related("category"), pk=pk)
    form = OrderForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and (placed := form.place(pk)):
        messages.success(request, f"Thank you, {placed.customer}. Order {placed.pk} is on its way to {placed.city}.")
        return redirect("shop:ordered", pk=pk)
    status = 422 if request.method == "POST" else 200
    return render(request, "shop/order.html", {"product": wanted, "form": form}, status=status)


@never_cache
@require_safe
def ordered(request: HttpRequest, pk: int) -> HttpResponse:
    """Say thank you."""
    return render(request, "shop/ordered.html", {"product": get_object_or_404(Product, pk=pk)})


@require_safe
def sales(request: HttpRequest) -> HttpResponse:
    """Show the sales report."""
    return render(request, "shop/sales.html", {"report": sales_report()})


@never_cache
def health(request: HttpRequest) -> HttpResponse:
    """Say that the process answers."""
    return HttpResponse("ok\n", content_type="text/plain")
