"""A small shop, and a visitor's browser that shows what cachekit and the database did."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client

STONES = 400


@pytest.fixture
def stocked(transactional_db: None, settings: Any) -> None:
    """A shop of 400 stones, with the demo's own middleware and the header that tells hit from miss."""
    settings.CACHEKIT = {"DEBUG_HEADER": True}
    settings.MIDDLEWARE = [
        "demo_site.middleware.StrictPolicy",
        "demo_site.middleware.CountQueries",
        *settings.MIDDLEWARE,
    ]
    from demo_site.shop.models import Category, Order, OrderLine, Product

    tables = [model._meta.db_table for model in (Category, Product, Order, OrderLine)]
    with connection.cursor() as cursor:
        if f"kept_{tables[0]}" in connection.introspection.table_names(cursor):  # to load takes half a second
            for table in tables:
                cursor.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")
            return
        call_command("load_diamonds", limit=STONES, stdout=StringIO())
        for table in tables:
            cursor.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")


@pytest.fixture
def visitor(stocked: None) -> Client:
    """Somebody who is not logged in."""
    return Client()
