"""The shop's API: products and collections to read, kept until something that they show is written to."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from drf_spectacular.views import SpectacularAPIView
from rest_framework import serializers
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ReadOnlyModelViewSet

from cachekit.contrib.drf import CachedViewSetMixin
from demo_site.shop import shelf
from demo_site.shop.models import Category, Product

FILTERS = ("category", *shelf.CHOICES, "sort")


class CategorySerializer(serializers.ModelSerializer[Category]):
    """A collection, and how many pieces it has."""

    pieces = serializers.IntegerField(read_only=True)

    class Meta:
        model = Category
        fields = ("slug", "name", "blurb", "pieces")


class ProductSerializer(serializers.ModelSerializer[Product]):
    """A product, and where it is shown."""

    category: Any = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    page: Any = serializers.HyperlinkedIdentityField("shop:product")

    class Meta:
        model = Product
        fields = ("id", "sku", "name", "category", "price", "stock", "carat", "cut", "color", "clarity", "page")


class Pages(PageNumberPagination):
    """As many on a page as in the shop."""

    page_size = 24


class Reading:
    """What both have in common: anybody may read, as JSON."""

    cache_timeout = 600
    authentication_classes: Any = ()
    permission_classes: Any = (AllowAny,)
    renderer_classes: Any = (JSONRenderer,)


class Categories(Reading, CachedViewSetMixin, ReadOnlyModelViewSet[Category]):
    """Collections."""

    cache_options = {"public": True, "params": ()}
    queryset = Category.objects.annotate(pieces=Count("products")).order_by("position")
    serializer_class = CategorySerializer
    lookup_field = "slug"


@extend_schema_view(list=extend_schema(parameters=[OpenApiParameter(name, str) for name in FILTERS]))
class Products(Reading, CachedViewSetMixin, ReadOnlyModelViewSet[Product]):
    """Products, filtered and sorted as in the shop."""

    cache_options = {"public": True, "params": FILTERS}
    queryset = Product.objects.select_related("category")
    serializer_class = ProductSerializer
    pagination_class = Pages

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Leave what was chosen; one product is found by its key alone."""
        if self.detail:
            return queryset
        query = self.request.query_params.dict()
        filters = shelf.Filters.read(query)
        category = Category.objects.filter(slug=query["category"]).first() if query.get("category") else None
        found = shelf.ordered(shelf.products(category, filters), filters.sort)
        return found.none() if query.get("category") and category is None else found.select_related("category")


class Schema(SpectacularAPIView):
    """The API's description."""

    authentication_classes: Any = ()
    permission_classes: Any = (AllowAny,)
    custom_settings = {"TITLE": "Diamonds", "VERSION": "1"}


router = SimpleRouter()
router.register("products", Products)
router.register("categories", Categories)
