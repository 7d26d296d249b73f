"""The trade's words: grades of cut, color and clarity, and the bands of price and weight."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from django.db import models


class Cut(models.TextChoices):
    """How well a stone is cut, from plain to perfect."""

    FAIR = "Fair"
    GOOD = "Good"
    VERY_GOOD = "Very Good"
    PREMIUM = "Premium"
    IDEAL = "Ideal"


class Color(models.TextChoices):
    """How colorless a stone is: D is the clearest, J has a warm tint."""

    D = "D"
    E = "E"
    F = "F"
    G = "G"
    H = "H"
    I = "I"  # noqa: E741 - the grade's name
    J = "J"


class Clarity(models.TextChoices):
    """How free of inclusions a stone is, from flawless to visibly marked."""

    IF = "IF", "Internally flawless"
    VVS1 = "VVS1", "Very, very slight 1"
    VVS2 = "VVS2", "Very, very slight 2"
    VS1 = "VS1", "Very slight 1"
    VS2 = "VS2", "Very slight 2"
    SI1 = "SI1", "Slight 1"
    SI2 = "SI2", "Slight 2"
    I1 = "I1", "Included 1"


class Band(NamedTuple):
    """A range of prices: from `low` up to, not including, `high`."""

    slug: str
    label: str
    low: int
    high: int | None


BANDS = (
    Band("under-500", "Under $500", 0, 500),
    Band("500-1000", "$500 – $1,000", 500, 1000),
    Band("1000-2500", "$1,000 – $2,500", 1000, 2500),
    Band("2500-5000", "$2,500 – $5,000", 2500, 5000),
    Band("5000-10000", "$5,000 – $10,000", 5000, 10000),
    Band("over-10000", "$10,000 and more", 10000, None),
)


class Collection(NamedTuple):
    """A category of the shop: stones lighter than `below` carat that no earlier collection takes."""

    slug: str
    name: str
    blurb: str
    below: Decimal


COLLECTIONS = (
    Collection("petite", "Petite", "Small, bright stones for every day, below 0.40 carat.", Decimal("0.40")),
    Collection("everyday", "Everyday", "The jeweller's working size, 0.40 to 0.69 carat.", Decimal("0.70")),
    Collection("classic", "Classic", "Engagement rings begin here, 0.70 to 0.99 carat.", Decimal("1.00")),
    Collection("grand", "Grand", "One carat and a little more, up to 1.49 carat.", Decimal("1.50")),
    Collection("statement", "Statement", "Rare weights from 1.50 to 5.01 carat.", Decimal(1000)),
)


def collection_of(carat: Decimal) -> Collection:
    """Return the collection a stone of this weight belongs to."""
    return next(collection for collection in COLLECTIONS if carat < collection.below)
