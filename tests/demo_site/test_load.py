"""`load_diamonds` and `create_staff`: once, the same each time, and all of it."""

from __future__ import annotations

import hashlib
import lzma
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper

from demo_site.shop import catalogue
from demo_site.shop.models import Category, Order, OrderLine, Product
from demo_site.shop.progress import Progress

pytestmark = pytest.mark.django_db


def load(limit: int = 120) -> str:
    told = StringIO()
    call_command("load_diamonds", limit=limit, stdout=told)
    return told.getvalue()


def test_the_table_is_whole_and_as_its_source_note_says() -> None:
    text = lzma.decompress(catalogue.TABLE.read_bytes())
    note = (catalogue.TABLE.parent / "SOURCE.md").read_text()

    assert len(text.splitlines()) == catalogue.ROWS + 1
    assert hashlib.sha256(text).hexdigest() in note
    assert "licence" in note.lower()


def test_a_limited_load_has_every_collection_and_some_orders() -> None:
    told = load()

    assert "Diamonds: 120 of 120" in told
    assert Product.objects.count() == 120
    assert {one.products.count() > 0 for one in Category.objects.all()} == {True}
    assert Order.objects.count() == 36
    assert OrderLine.objects.count() >= 36


def test_a_second_load_changes_nothing() -> None:
    load()
    before = list(Product.objects.values_list("pk", "price", "stock"))

    assert "stocked already" in load()

    assert list(Product.objects.values_list("pk", "price", "stock")) == before


def test_the_seed_makes_every_shop_the_same() -> None:
    load()
    first = list(Product.objects.order_by("sku").values_list("sku", "stock"))
    OrderLine.objects.all().delete()
    Product.objects.all().delete()
    Order.objects.all().delete()

    load()

    assert list(Product.objects.order_by("sku").values_list("sku", "stock")) == first


def test_the_first_stone_is_the_table_s_first() -> None:
    load()
    stone = Product.objects.get(sku="D00001")

    assert (stone.carat, stone.cut, stone.color, stone.clarity) == (Decimal("0.23"), "Ideal", "E", "SI2")
    assert (stone.price, stone.category.slug, stone.z) == (Decimal(326), "petite", Decimal("2.43"))


@pytest.mark.parametrize("limit", [0, -1, catalogue.ROWS + 1])
def test_an_impossible_limit_is_refused(limit: int) -> None:
    with pytest.raises(CommandError, match="between 1 and 53,940"):
        load(limit)


def test_staff_get_a_made_up_password_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEMO_PASSWORD", raising=False)
    told, again = StringIO(), StringIO()

    call_command("create_staff", stdout=told)
    call_command("create_staff", stdout=again)

    password = told.getvalue().rpartition("password ")[2].strip()
    staff = get_user_model().objects.get(username="staff")
    assert len(password) >= 12
    assert staff.check_password(password)
    assert staff.is_superuser
    assert password not in again.getvalue()


def test_demo_password_sets_the_password_and_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_PASSWORD", "first-of-all")
    call_command("create_staff", stdout=StringIO())
    monkeypatch.setenv("DEMO_PASSWORD", "second-to-none")
    told = StringIO()

    call_command("create_staff", stdout=told)

    assert get_user_model().objects.get(username="staff").check_password("second-to-none")
    assert "second-to-none" not in told.getvalue()


def test_prepare_demo_does_it_all_and_once() -> None:
    told = [StringIO(), StringIO()]

    for out in told:
        call_command("prepare_demo", limit=20, stdout=out)

    assert "Diamonds: 20 of 20" in told[0].getvalue()
    assert "Login staff, password" in told[0].getvalue()
    assert "stocked already: 20 stones" in told[1].getvalue()


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("kind", "bar"), [(Terminal, True), (StringIO, False)])
def test_progress_is_a_bar_on_a_terminal_and_plain_lines_elsewhere(kind: type[StringIO], bar: bool) -> None:
    out = kind()
    progress = Progress("Diamonds", 4, OutputWrapper(out))

    assert list(progress.over([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]

    assert ("█" in out.getvalue(), "\r" in out.getvalue()) == (bar, bar)
    assert out.getvalue().startswith("Diamonds: 4 of 4 in ") is not bar
    assert out.getvalue().endswith(" s\n")


def test_every_stone_has_its_drawing() -> None:
    from demo_site.shop import gems
    from demo_site.shop.grades import Color, Cut

    for cut in Cut:
        for color in Color:
            drawn: Any = Path(gems.FOLDER / f"{gems.slug(cut, color)}.svg")
            assert drawn.read_text() == gems.draw(cut, color), "run python -m demo_site.shop.gems"
