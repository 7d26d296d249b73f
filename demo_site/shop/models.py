"""The shop's tables."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone

from cachekit import CachedManager
from demo_site.shop.grades import Clarity, Color, Cut


class Category(models.Model):
    """A collection of stones of about one weight."""

    name = models.CharField(max_length=40)
    slug = models.SlugField(unique=True)
    blurb = models.CharField(max_length=200, blank=True)
    position = models.PositiveSmallIntegerField(default=0)

    objects = CachedManager()

    class Meta:
        ordering = ("position",)
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the address of its list page."""
        return reverse("shop:category", args=[self.slug])


class Product(models.Model):
    """One diamond."""

    CACHEKIT_INDEXES = ("category",)  # a new price touches the pages of its own category only

    sku = models.CharField("SKU", max_length=16, unique=True)
    name = models.CharField(max_length=80)
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="products")
    price = models.DecimalField(max_digits=9, decimal_places=2, validators=[MinValueValidator(0)])
    stock = models.PositiveIntegerField(default=1)
    carat = models.DecimalField(max_digits=4, decimal_places=2)
    cut = models.CharField(max_length=10, choices=Cut.choices)
    color = models.CharField(max_length=1, choices=Color.choices)
    clarity = models.CharField(max_length=4, choices=Clarity.choices)
    depth = models.DecimalField("depth %", max_digits=4, decimal_places=1)
    table = models.DecimalField("table %", max_digits=4, decimal_places=1)
    x = models.DecimalField("length mm", max_digits=5, decimal_places=2)
    y = models.DecimalField("width mm", max_digits=5, decimal_places=2)
    z = models.DecimalField("height mm", max_digits=5, decimal_places=2)
    added_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ("pk",)
        indexes = [
            models.Index(fields=["category", "price"]),
            models.Index(fields=["category", "color", "clarity"]),
            models.Index(fields=["price"]),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.sku})"

    def get_absolute_url(self) -> str:
        """Return the address of its page."""
        return reverse("shop:product", args=[self.pk])


class ProductViews(models.Model):
    """How often a product's page was seen; a table of its own, so that counting leaves the product's pages cached."""

    product = models.OneToOneField(Product, on_delete=models.CASCADE, primary_key=True, related_name="views")
    count = models.PositiveBigIntegerField(default=0, db_index=True)

    class Meta:
        verbose_name_plural = "product views"

    def __str__(self) -> str:
        return f"{self.product_id}: {self.count}"


class Order(models.Model):
    """What a customer bought in one go."""

    class Status(models.TextChoices):
        """How far the order is."""

        PAID = "paid", "Paid"
        SHIPPED = "shipped", "Shipped"
        RETURNED = "returned", "Returned"

    customer = models.CharField(max_length=80)
    email = models.EmailField()
    city = models.CharField(max_length=60)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PAID)
    placed_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ("-placed_at",)

    def __str__(self) -> str:
        return f"Order {self.pk}"


class OrderLine(models.Model):
    """A product in an order, at the price it had that day."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="order_lines")
    quantity = models.PositiveSmallIntegerField(default=1)
    unit_price = models.DecimalField(max_digits=9, decimal_places=2)

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product_id}"
