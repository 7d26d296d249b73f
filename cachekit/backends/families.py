"""Name the family of a key, so that hits and misses are counted by who stores what, not by key."""

from __future__ import annotations

import re

KNOWN = {
    "views.decorators.cache.": "cache_page",
    "django.contrib.sessions": "sessions",
    "template.cache.": "{% cache %}",
}
start_of = re.compile("|".join((*map(re.escape, KNOWN), "[A-Za-z_-]{1,40}"))).match


def family(key: str) -> str:
    """Return the part of Django that made a key, else its first word."""
    start = start_of(key)
    return "other" if start is None else KNOWN.get(start.group(), start.group())
