"""The demo's pages, and one edit of staff's: how many of them stay valid, as JSON on the standard output."""

from __future__ import annotations

import json
import os
import sys
import warnings
from io import StringIO

import django

STONES = 2000


def main() -> None:
    """Fill the shop, warm its pages, edit a product, count."""
    warnings.simplefilter("ignore")  # whatever a library warns of is its own affair here
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.conformance.shop_settings"
    django.setup()
    from django.core.management import call_command
    from django.test import Client

    from demo_site.shop.models import Product
    from tests.demo_site.precision import edit, pages, shown

    call_command("migrate", verbosity=0)
    call_command("load_diamonds", limit=STONES, stdout=StringIO())
    visitor, found = Client(), pages()
    paths = (*found.lists, *found.products)
    for path in paths:
        shown(visitor, path)
    warm = {path for path in paths if not shown(visitor, path).queries}
    edit(Product.objects.filter(category__slug="classic", stock__gt=1)[3])
    kept = {path for path in warm if not shown(visitor, path).queries}
    figures = {
        "pages": len(paths),
        "warm": len(warm),
        "kept": len(kept),
        "lists": len(found.lists),
        "lists_kept": len(kept.intersection(found.lists)),
    }
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
