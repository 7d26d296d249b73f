"""Where staff edit the shop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from demo_site.shop.models import Category, Order, OrderLine, Product, ProductViews

if TYPE_CHECKING:
    CategoryAdminBase = admin.ModelAdmin[Category]
    ProductAdminBase = admin.ModelAdmin[Product]
    ViewsAdminBase = admin.ModelAdmin[ProductViews]
    OrderAdminBase = admin.ModelAdmin[Order]
    LineInlineBase = admin.TabularInline[OrderLine, Order]
else:
    CategoryAdminBase = ProductAdminBase = ViewsAdminBase = OrderAdminBase = admin.ModelAdmin
    LineInlineBase = admin.TabularInline


@admin.register(Category)
class CategoryAdmin(CategoryAdminBase):
    """Collections."""

    list_display = ("name", "slug", "position")
    prepopulated_fields = {"slug": ("name",)}


@admin.register(Product)
class ProductAdmin(ProductAdminBase):
    """Diamonds; the price can be changed in the list."""

    list_display = ("sku", "name", "category", "price", "stock")
    list_editable = ("price",)
    list_filter = ("category", "cut", "color", "clarity")
    list_select_related = ("category",)
    list_per_page = 25
    search_fields = ("=sku", "name")
    show_full_result_count = False


@admin.register(ProductViews)
class ProductViewsAdmin(ViewsAdminBase):
    """View counts, as the write-behind counter has flushed them."""

    list_display = ("product", "count")
    list_select_related = ("product",)
    ordering = ("-count",)
    raw_id_fields = ("product",)


class OrderLineInline(LineInlineBase):
    """The lines on an order's page."""

    model = OrderLine
    extra = 0
    raw_id_fields = ("product",)


@admin.register(Order)
class OrderAdmin(OrderAdminBase):
    """Orders."""

    list_display = ("pk", "customer", "city", "status", "placed_at")
    list_filter = ("status",)
    date_hierarchy = "placed_at"
    search_fields = ("customer", "email")
    inlines = (OrderLineInline,)
