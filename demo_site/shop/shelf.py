"""What a list page shows: the chosen filters, the sorted products, and the counts beside each choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

from django.db.models import Case, CharField, Count, QuerySet, Value, When

from demo_site.shop.grades import BANDS, Clarity, Color, Cut
from demo_site.shop.models import Category, Product

SORTS: Final = {
    "price": ("Price, low to high", ("price", "pk")),
    "-price": ("Price, high to low", ("-price", "pk")),
    "-carat": ("Carat, high to low", ("-carat", "price", "pk")),
    "new": ("Newest first", ("-added_at", "-pk")),
}
CHOICES: Final = {
    "cut": tuple(Cut.values),
    "color": tuple(Color.values),
    "clarity": tuple(Clarity.values),
    "price": tuple(band.slug for band in BANDS),
}
TITLES: Final = {"cut": "Cut", "color": "Color", "clarity": "Clarity", "price": "Price"}


@dataclass(frozen=True)
class Filters:
    """What the visitor chose; the empty string means no choice."""

    cut: str = ""
    color: str = ""
    clarity: str = ""
    price: str = ""
    sort: str = "price"

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Filters:
        """Read the query string; what is not a known choice counts as none."""
        chosen = {name: value for name in CHOICES if (value := query.get(name, "")) in CHOICES[name]}
        sort = query.get("sort", "")
        return cls(**chosen, sort=sort if sort in SORTS else "price")

    @property
    def chosen(self) -> dict[str, str]:
        """The choices made, by facet."""
        return {name: value for name in CHOICES if (value := getattr(self, name))}

    def query(self, **changes: str) -> str:
        """Return the query string with some choices changed, in one order, so that equal pages share an address."""
        other = replace(self, **changes)
        pairs = {**other.chosen, **({"sort": other.sort} if other.sort != "price" else {})}
        return f"?{urlencode(pairs)}" if pairs else "?"


@dataclass(frozen=True)
class Option:
    """One choice of a facet, with the number of products it leaves."""

    label: str
    count: int
    selected: bool
    query: str


@dataclass(frozen=True)
class Facet:
    """A group of choices."""

    name: str
    title: str
    options: tuple[Option, ...]


def products(category: Category | None, filters: Filters, *, but: str = "") -> QuerySet[Product]:
    """Return the products of a category that pass all filters, except the facet named by `but`."""
    found = Product.objects.all() if category is None else Product.objects.filter(category=category)
    for name, value in filters.chosen.items():
        if name == but:
            continue
        found = _in_band(found, value) if name == "price" else found.filter(**{name: value})
    return found


def ordered(found: QuerySet[Product], sort: str) -> QuerySet[Product]:
    """Sort by one of SORTS."""
    return found.order_by(*SORTS[sort][1])


def facets(category: Category | None, filters: Filters) -> list[Facet]:
    """Count, for each facet, what each of its choices would leave: one query a facet."""
    return [_facet(name, category, filters) for name in CHOICES]


def _facet(name: str, category: Category | None, filters: Filters) -> Facet:
    counts = _counts(products(category, filters, but=name), name)
    chosen = filters.chosen.get(name, "")
    options = (
        Option(label, counts.get(value, 0), value == chosen, filters.query(**{name: "" if value == chosen else value}))
        for value, label in _labels(name)
    )
    return Facet(name, TITLES[name], tuple(option for option in options if option.count or option.selected))


def _counts(found: QuerySet[Product], name: str) -> dict[str, int]:
    if name == "price":
        bands = (When(price__lt=band.high, then=Value(band.slug)) for band in BANDS if band.high is not None)
        found = found.annotate(band=Case(*bands, default=Value(BANDS[-1].slug), output_field=CharField()))
    field = "band" if name == "price" else name
    return dict(found.order_by().values_list(field).annotate(n=Count("pk")))


def _in_band(found: QuerySet[Product], slug: str) -> QuerySet[Product]:
    band = next(band for band in BANDS if band.slug == slug)
    found = found.filter(price__gte=band.low)
    return found if band.high is None else found.filter(price__lt=band.high)


def _labels(name: str) -> Iterable[tuple[str, str]]:
    if name == "price":
        return ((band.slug, band.label) for band in BANDS)
    if name == "cut":
        return ((value, value) for value in reversed(Cut.values))
    return ((value, value) for value in CHOICES[name])
