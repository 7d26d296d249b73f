"""Write values so that those which a database calls equal are one text."""

from __future__ import annotations

import datetime
import decimal
import unicodedata
from typing import Any
from urllib.parse import quote


def canonical(value: Any) -> str:
    """Return a text that is the same for all values which a database calls equal; a coarser one only makes misses."""
    if type(value) is int:
        return str(value)
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, (decimal.Decimal, float)):
        number = decimal.Decimal(value).normalize()
        value = f"{number:f}"
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC)
    if value is None:
        return "~null"
    # collations may ignore case, accents and trailing blanks
    letters = unicodedata.normalize("NFKD", str(value).casefold())
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return quote(bare.rstrip(), safe="") or "~empty"
