"""The shop's one form."""

from __future__ import annotations

from django import forms
from django.db import transaction

from demo_site.shop.models import Order, OrderLine, Product


class OrderForm(forms.Form):
    """Who buys how many."""

    customer = forms.CharField(label="Your name", max_length=80, widget=forms.TextInput({"autocomplete": "name"}))
    email = forms.EmailField(label="Email", widget=forms.EmailInput({"autocomplete": "email"}))
    city = forms.CharField(label="City", max_length=60, widget=forms.TextInput({"autocomplete": "address-level2"}))
    quantity = forms.IntegerField(label="Pieces", min_value=1, max_value=20, initial=1)

    def place(self, pk: int) -> Order | None:
        """Take the pieces from stock and write the order; return None (and say why) if too few are left."""
        wanted = self.cleaned_data["quantity"]
        with transaction.atomic():
            product = Product.objects.select_for_update().get(pk=pk)
            if product.stock < wanted:
                self.add_error("quantity", f"Only {product.stock} left.")
                return None
            product.stock -= wanted
            product.save(update_fields=["stock"])
            buyer = {name: self.cleaned_data[name] for name in ("customer", "email", "city")}
            order = Order.objects.create(**buyer)
            OrderLine.objects.create(order=order, product=product, quantity=wanted, unit_price=product.price)
        return order
