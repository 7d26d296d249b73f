"""What stands in a row of the outbox, as tags: triggers write values as the database does, and tags are made here."""

from __future__ import annotations

from django.apps import apps
from django.db.models import Model

from cachekit import registry
from cachekit.core.tags import RAW, tenant_of


def tags_in(text: str) -> list[str]:
    """Return the tags of a row, which are one a line."""
    lines = text.split("\n")
    return [_made(line) if RAW in line else line for line in lines] if RAW in text else lines


def _made(line: str) -> str:
    """Make the tag of a row or a slice; of every one where this project does not know the column."""
    start, _, value = line.partition(RAW)
    if start.endswith("#"):
        family, model = start[:-1], _model(start[:-1])
        return registry.row(family, model._meta.pk, value, prepared=True) if model else f"{family}#*"
    family, _, name = start.rpartition("?")
    model = _model(family)
    found = [one for one in registry.indexes_of(model) if one.name == name] if model else []
    return registry.slice_of(family, found[0], value, prepared=True) if found else f"{family}?*"


def _model(family: str) -> type[Model] | None:
    label = tenant_of(family)[1].partition("@")[0]
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None
