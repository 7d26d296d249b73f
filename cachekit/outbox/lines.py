"""What stands in a row of the outbox, as tags: triggers write values as the database does, and tags are made here."""

from __future__ import annotations

import re

from django.apps import apps
from django.db.models import Model

from cachekit import registry
from cachekit.core.tags import LONGEST_VALUE, RAW, VALUES, tenant_of

MISSING = "cachekit_"
"""A value that begins so may be the name of a trigger, in place of a column that has been renamed or dropped."""
WRITTEN = re.compile(f"{VALUES}(?:(E?)('(?:[^']|'')*')|([^{VALUES}]*))")


def tags_in(text: str) -> list[str]:
    """Return the tags of a row: one a line, and those of the values that may follow.

    Values of one changed row, old and new: `family VALUES tokens VALUES value VALUES value…`, a token for each value.
    `#` is the key and a name is a declared index, with `=` where the value makes the tag as it is.
    """
    before, _, rest = text.partition(VALUES)
    if rest and RAW not in before:  # else it is in a value on a line
        lines, (tokens, _, written) = before.split("\n"), rest.partition(VALUES)
        pairs = dict.fromkeys(zip(tokens.split(","), _values(written), strict=True))
        return list(dict.fromkeys((*lines, *(_of_value(lines[0], token, value) for token, value in pairs))))
    lines = text.split("\n")
    return [_made(line) if RAW in line else line for line in lines] if RAW in text else lines


def _values(written: str) -> list[str | None]:
    """Return values as PostgreSQL's `format()` has written them: bare, or quoted where they may hold anything."""
    if "'" not in written:
        return [None if one == "NULL" else one for one in written.split(VALUES)]
    found: list[str | None] = []
    for escaped, quoted, bare in WRITTEN.findall(VALUES + written):
        if bare or not quoted:
            found.append(None if bare == "NULL" else bare)
            continue
        value = quoted[1:-1].replace("''", "'")
        found.append(value.replace("\\\\", "\\") if escaped else value)
    return found


def _of_value(family: str, token: str, value: str | None) -> str:
    """Return the tag of a value."""
    name, is_plain, _ = token.partition("=")
    if value is not None and (len(value) > LONGEST_VALUE or value.startswith(MISSING)):
        return f"{family}#*" if name == "#" else f"{family}?*"
    start = f"{family}#" if name == "#" else f"{family}?{name}"
    if value is None or is_plain:
        return f"{start}{'' if name == '#' else '='}{'~null' if value is None else value}"
    return _made(f"{start}{RAW}{value}")


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
