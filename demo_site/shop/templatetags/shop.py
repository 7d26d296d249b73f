"""How prices, numbers and stones are shown."""

from __future__ import annotations

from decimal import Decimal

from django import template
from django.templatetags.static import static

from demo_site.shop.gems import slug
from demo_site.shop.models import Product

register = template.Library()


@register.filter
def money(amount: Decimal | float | None) -> str:
    """Write an amount in dollars; cents only where there are any."""
    if amount is None:
        return "–"
    value = Decimal(amount).quantize(Decimal("0.01"))
    return f"${value:,.0f}" if value == value.to_integral_value() else f"${value:,.2f}"


@register.filter
def whole_money(amount: Decimal | float | None) -> str:
    """Write an amount in whole dollars."""
    return "–" if amount is None else f"${round(amount):,}"


@register.filter
def thousands(count: int) -> str:
    """Write a count with separators."""
    return f"{count:,}"


@register.filter
def gem(product: Product) -> str:
    """Return the address of the drawing for this stone's cut and color."""
    return static(f"shop/gems/{slug(product.cut, product.color)}.svg")


@register.filter
def gem_size(product: Product) -> int:
    """Return the drawing's width on a card, in pixels: heavier stones are drawn larger."""
    share: float = min(1.0, float(product.carat) / 2.0) ** 0.6
    return round(60 + 60 * share)


@register.filter
def millimetres(length: Decimal) -> str:
    """Write a length; the table has zeros where nobody measured."""
    return f"{length} mm" if length else "not measured"
